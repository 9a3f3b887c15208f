# Stops a server when its last user is gone, however that user went: the kernel closes a dead process's end of the pipe.
#   $1 the instance's directory    $2 pg_ctl    $3 seconds to linger    $4 `keep` or `delete` the data
# Standard input is the pipe: every user holds its other end and says `user` once; `shared-devkit down` says `stop`.
directory=$1 pg_ctl=$2 linger=$3 afterwards=$4

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

keep() {
    trap '' HUP INT QUIT
    wait_for_the_end
    : >"$directory/stopping"
    if [ "$afterwards" = delete ]; then
        "$pg_ctl" stop -D "$directory/data" -m immediate -w -t 60
        # The name is free at once; emptying a directory takes a moment.
        mv "$directory" "$directory.gone-$$" && rm -rf "$directory.gone-$$"
    else
        "$pg_ctl" stop -D "$directory/data" -m fast -w -t 60 ||
            "$pg_ctl" stop -D "$directory/data" -m immediate -w -t 60
        # The mark stays until the next keeper starts: nobody may mistake this one for staying.
    fi
}

# In the background, so that the keeper belongs to nobody. A background command loses its standard input, hence 3.
exec 3<&0
keep <&3 3<&- &
