# Stops a server when its last user is gone, however that user went: the kernel closes a dead process's end of the pipe.
#   $1 the instance's directory   $2 seconds to linger   $3 `keep` or `delete` the data
#   $4 the signal that ends the server   $5.. files with the ids of its processes
# Standard input is the pipe: every user holds its other end and says `user` once; `shared-devkit down` says `stop`.
directory=$1 linger=$2 afterwards=$3 signal=$4
shift 4

wait_for_the_end() {
    left=$linger
    while :; do
        # Waits while there is a user. Fails at once when there is none.
        if read -r word; then
            [ "$word" = stop ] && return
            left=$linger
        elif [ -e "$directory/pinned" ]; then
            # `sleep` has no share in the pipe: it would outlive a killed keeper and pass for one.
            sleep 1 </dev/null
        elif [ "$left" -gt 0 ]; then
            sleep 1 </dev/null
            left=$((left - 1))
        else
            # Whoever came before this mark has said so by now; whoever comes later sees the mark and waits.
            : >"$directory/stopping"
            read -r word || return
            [ "$word" = stop ] && return
            rm "$directory/stopping"
            left=$linger
        fi
    done
}

# A moment. Not every system knows fractions of a second.
rest() {
    sleep 0.02 </dev/null || sleep 1 </dev/null
}

# Sets `arguments` to those of a process, which tell ours from another one that got its id later. There are none after its
# end, and in the moment in which it becomes another program: hence the second look.
look_at() {
    for look in first second; do
        if [ -d /proc/self ]; then
            arguments=$(tr '\0' ' ' <"/proc/$1/cmdline" 2>/dev/null)
        else
            arguments=$(ps -ww -o args= -p "$1")
        fi
        [ -z "$arguments" ] && [ $look = first ] && kill -s 0 "$1" 2>/dev/null || return
        rest
    done
}

# Sends a signal to each process of the server that lives. Fails where none does.
send() {
    sent=1
    for file; do
        [ -r "$place/$file" ] && read -r pid <"$place/$file" || continue
        look_at "$pid"
        case $arguments in
        *"$directory"*) kill -s "$name" "$pid" 2>/dev/null && sent=0 ;;
        esac
    done
    return $sent
}

stop() {
    # A test that has stopped its server with SIGSTOP may be dead.
    if [ -e "$place/paused" ]; then
        while read -r pid; do kill -s CONT "$pid" 2>/dev/null; done <"$place/paused"
    fi
    name=$signal
    send "$@" || return
    name=0 looks=0
    while send "$@"; do
        # Looks quickly at first, then for a minute.
        looks=$((looks + 1))
        if [ "$looks" -lt 50 ]; then rest; else sleep 1 </dev/null; fi
        [ "$looks" -gt 110 ] && name=KILL
    done
}

keep() {
    trap '' HUP INT QUIT
    wait_for_the_end
    : >"$directory/stopping"
    place=$directory
    stop "$@"
    # The mark stays until the next keeper starts: nobody may mistake this one for staying.
    if [ "$afterwards" = delete ]; then
        # The name is free at once; emptying a directory takes a moment.
        place=$directory.gone-$$
        mv "$directory" "$place" || return
        # One that was just being started has left its id by now; from here on none can.
        stop "$@"
        # A killed PostgreSQL leaves its lock file, and a piece of shared memory that the file names in line 7.
        lock=$place/data/postmaster.pid
        [ -r "$lock" ] && ipcrm -m "$(sed -n '7s/.* //p' "$lock")" 2>/dev/null
        rm -rf "$place"
    fi
}

# In the background, so that the keeper belongs to nobody. A background command loses its standard input, hence 3.
exec 3<&0
keep "$@" <&3 3<&- &
