/* A process that is started with this preloaded has a wall clock that is off by SKEW seconds. Its other clocks run as always. */
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *time) {
    long failed = syscall(SYS_clock_gettime, clock, time);
    if (failed == 0 && clock == CLOCK_REALTIME) time->tv_sec += SKEW;
    return (int)failed;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone) {
    long failed = syscall(SYS_gettimeofday, time, zone);
    if (failed == 0) time->tv_sec += SKEW;
    return (int)failed;
}

time_t time(time_t *result) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (result) *result = now.tv_sec;
    return now.tv_sec;
}
