/* What volumes.py runs in guests, static: `io WAY DEVICE SECONDS [OFFSETS]` prints one figure, of direct I/O with one request at a time.
 *   rr, rw: random reads and writes of 4 KiB a second; sr, sw: MiB a second in order, 1 MiB at a time
 *   gap: the longest time in milliseconds that a write of 4 KiB and its flush took, from its own beginning to the next one's */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec + at.tv_nsec / 1e9;
}

int main(int count, char **words)
{
    if (count < 4)
        return 2;
    const char *way = words[1];
    int writes = !strcmp(way, "rw") || !strcmp(way, "sw") || !strcmp(way, "gap"), gap = !strcmp(way, "gap"), big = way[0] == 's';
    int file = open(words[2], (writes ? O_RDWR : O_RDONLY) | O_DIRECT);
    size_t size = big ? 1 << 20 : 4096;
    char *data;
    if (file < 0 || posix_memalign((void **)&data, 4096, size))
        return perror(words[2]), 1;
    memset(data, 0x5a, size);
    long blocks = lseek(file, 0, SEEK_END) / size;
    double seconds = atof(words[3]), began = now(), before = began, most = 0, at;
    long done = 0;
    srandom(1);
    for (at = began; at < began + seconds; at = now(), done++) {
        off_t place = (off_t)(big ? done % blocks : random() % blocks) * size;
        ssize_t got = writes ? pwrite(file, data, size, place) : pread(file, data, size, place);
        if (got != (ssize_t)size)
            return perror(way), 1;
        if (gap) {
            fdatasync(file);
            double then = now();
            if (then - before > most)
                most = then - before;
            before = then;
        }
    }
    printf("%.3f\n", gap ? most * 1000 : done / (at - began));
    return 0;
}
