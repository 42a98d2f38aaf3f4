/* A disk that can be told to fail: loaded before the C library (LD_PRELOAD), it counts every call that changes a file under
   one folder, whoever makes it (Python, DuckDB, Arrow), and at call number N kills the process, tears the write, or reports
   that the disk is full or broken. Off until `faulty_disk` is called in the process; see tests/faults/disk.py. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { COUNT = 0, KILL = 1, TEAR = 2, FULL = 3, BROKEN = 4, POWER = 5 };

static char folder[PATH_MAX];
static size_t folder_length = 0;
static long wanted = 0;
static int mode = COUNT;
static atomic_long passed = 0;
static int log_descriptor = -1;
static char gate[PATH_MAX];

#define REAL(name) ({ static __typeof__(&name) found; if (!found) found = dlsym(RTLD_NEXT, #name); found; })

long faulty_disk_calls(void) { return atomic_load(&passed); }

/* Watch the files under `path` from now on; `log` (or -1) is a descriptor that gets a line for each call. */
void faulty_disk(const char *path, long number, int what, int log) {
    strncpy(folder, path, sizeof folder - 1);
    wanted = number;
    mode = what;
    log_descriptor = log;
    atomic_store(&passed, 0);
    folder_length = strlen(folder);
}

/* From now on whoever has read the head of a database goes on only when the file `path` is gone; `path`.met says that it waits. */
void faulty_disk_gate(const char *path) { strncpy(gate, path, sizeof gate - 5); }

static void at_the_gate(size_t size, off64_t at) {
    if (!gate[0] || at != 0 || size != 12288) return;
    char met[PATH_MAX];
    strcat(strcpy(met, gate), ".met");
    close(REAL(open)(met, O_WRONLY | O_CREAT, 0644));
    while (access(gate, F_OK) == 0) usleep(2000);
}

static int inside(const char *path) {
    return folder_length && path && strncmp(path, folder, folder_length) == 0;
}

static const char *path_of(int descriptor, char *place) {
    char link[40];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, place, PATH_MAX - 1);
    place[length > 0 ? length : 0] = 0;
    return place;
}

/* The power fails: of what was written to a file since it was last synced, any part may have reached the disk, in sectors of
   512 bytes. A change of a file's length counts as a sync of it. Each write is remembered, as it was and as it became, until the file is synced; then the power goes, all of them
   are undone, and a part, drawn by the number of the call, is done again. Names (open, rename, link, unlink) stay as they are:
   a file system with a journal keeps their order. The descriptors are never closed: that would take the process' locks away. */
enum { FILES = 512, SECTOR = 512 };
static struct { dev_t device; ino_t inode; int descriptor; } files[FILES];
static struct written { struct written *before; int file; off64_t at, grown_from; size_t size, had; char *old, *now; } *last = NULL;
static pthread_mutex_t memory = PTHREAD_MUTEX_INITIALIZER;

static int file_of(int descriptor, struct stat64 *found) {
    char name[40];
    if (fstat64(descriptor, found) || !S_ISREG(found->st_mode)) return -1;
    for (int n = 0; n < FILES; n++) {
        if (files[n].inode == found->st_ino && files[n].device == found->st_dev) return n;
        if (files[n].inode) continue;
        snprintf(name, sizeof name, "/proc/self/fd/%d", descriptor);
        files[n].descriptor = REAL(open)(name, O_RDWR);
        files[n].inode = found->st_ino;
        files[n].device = found->st_dev;
        return n;
    }
    abort(); /* a larger table is needed */
}

static void remember(int descriptor, const void *data, size_t size, off64_t at) {
    struct stat64 found;
    pthread_mutex_lock(&memory);
    int file = file_of(descriptor, &found);
    if (file >= 0) {
        struct written *one = calloc(1, sizeof *one);
        one->file = file;
        one->at = at < 0 ? found.st_size : at; /* appended */
        one->size = size;
        one->grown_from = found.st_size;
        one->old = calloc(1, size);
        one->now = memcpy(malloc(size), data, size);
        ssize_t had = REAL(pread64)(files[file].descriptor, one->old, size, one->at);
        one->had = had > 0 ? had : 0;
        one->before = last;
        last = one;
    }
    pthread_mutex_unlock(&memory);
}

static void synced(int descriptor) {
    struct stat64 found;
    pthread_mutex_lock(&memory);
    int file = file_of(descriptor, &found);
    for (struct written **one = &last; *one;) {
        struct written *gone = *one;
        if (gone->file != file) { one = &gone->before; continue; }
        *one = gone->before;
        free(gone->old); free(gone->now); free(gone);
    }
    pthread_mutex_unlock(&memory);
}

static void done_again(struct written *one, unsigned *chance) {
    if (!one) return;
    done_again(one->before, chance);
    int how = rand_r(chance) % 4; /* whole, not at all, or in part */
    for (size_t begin = 0; begin < one->size; begin += SECTOR) {
        size_t size = one->size - begin < SECTOR ? one->size - begin : SECTOR;
        if (how == 0 || (how > 1 && rand_r(chance) % 2))
            (void)!REAL(pwrite64)(files[one->file].descriptor, one->now + begin, size, one->at + begin);
    }
}

static void power_fails(long number) {
    pthread_mutex_lock(&memory);
    for (struct written *one = last; one; one = one->before) {
        (void)!REAL(pwrite64)(files[one->file].descriptor, one->old, one->had, one->at);
        (void)!REAL(ftruncate64)(files[one->file].descriptor, one->grown_from);
    }
    unsigned chance = (unsigned)number;
    done_again(last, &chance);
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

/* Counts one call; what is to happen to it: 0 nothing, TEAR (half of it, then death), or an errno to report. */
static int met(const char *call, const char *path, int needs_room) {
    long number = atomic_fetch_add(&passed, 1) + 1;
    if (log_descriptor >= 0) dprintf(log_descriptor, "%ld %s %s\n", number, call, path + folder_length);
    if (mode == FULL && number >= wanted && needs_room) return ENOSPC;
    if (mode == COUNT || number != wanted) return 0;
    if (mode == KILL) kill(getpid(), SIGKILL);
    if (mode == POWER) power_fails(number);
    if (mode == TEAR) return -1;
    return mode == BROKEN ? EIO : 0;
}

static void die(void) { kill(getpid(), SIGKILL); for (;;) pause(); }

#define GUARD_FD(call, descriptor, room, torn) \
    if (folder_length && descriptor != log_descriptor) { \
        int kept = errno; \
        char place[PATH_MAX]; \
        if (inside(path_of(descriptor, place))) { \
            int fate = met(call, place, room); \
            if (fate < 0) { torn; die(); } \
            if (fate > 0) { errno = fate; return -1; } \
        } \
        errno = kept; \
    }
/* Remembers what is written, for the power to fail later. */
#define NOTE_FD(descriptor, work) \
    if (mode == POWER && folder_length && descriptor != log_descriptor) { \
        int kept = errno; \
        char place[PATH_MAX]; \
        if (inside(path_of(descriptor, place))) { work; } \
        errno = kept; \
    }
#define GUARD_PATH(call, path, room) \
    if (inside(path)) { \
        int fate = met(call, path, room); \
        if (fate < 0) die(); \
        if (fate > 0) { errno = fate; return -1; } \
    }

ssize_t pread(int fd, void *data, size_t size, off_t at) {
    ssize_t done = REAL(pread)(fd, data, size, at);
    at_the_gate(size, at);
    return done;
}
ssize_t pread64(int fd, void *data, size_t size, off64_t at) {
    ssize_t done = REAL(pread64)(fd, data, size, at);
    at_the_gate(size, at);
    return done;
}
ssize_t write(int fd, const void *data, size_t size) {
    GUARD_FD("write", fd, 1, REAL(write)(fd, data, size / 2));
    NOTE_FD(fd, remember(fd, data, size, fcntl(fd, F_GETFL) & O_APPEND ? -1 : lseek64(fd, 0, SEEK_CUR)));
    return REAL(write)(fd, data, size);
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
    GUARD_FD("pwrite", fd, 1, REAL(pwrite)(fd, data, size / 2, at));
    NOTE_FD(fd, remember(fd, data, size, at));
    return REAL(pwrite)(fd, data, size, at);
}
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    GUARD_FD("pwrite", fd, 1, REAL(pwrite64)(fd, data, size / 2, at));
    NOTE_FD(fd, remember(fd, data, size, at));
    return REAL(pwrite64)(fd, data, size, at);
}
ssize_t writev(int fd, const struct iovec *parts, int count) {
    GUARD_FD("writev", fd, 1, );
    if (mode == POWER && count > 0) { /* the first part; the caller goes on with the rest */
        NOTE_FD(fd, remember(fd, parts->iov_base, parts->iov_len, fcntl(fd, F_GETFL) & O_APPEND ? -1 : lseek64(fd, 0, SEEK_CUR)));
        return REAL(write)(fd, parts->iov_base, parts->iov_len);
    }
    return REAL(writev)(fd, parts, count);
}
/* As sendfile does it, a piece at a time, so that what is written can be remembered. */
static ssize_t sent(int out, int in, off64_t *at, size_t size) {
    static __thread char piece[1 << 20];
    size_t most = size < sizeof piece ? size : sizeof piece;
    ssize_t got = at ? REAL(pread64)(in, piece, most, *at) : read(in, piece, most);
    if (got <= 0) return got;
    NOTE_FD(out, remember(out, piece, got, lseek64(out, 0, SEEK_CUR)));
    ssize_t done = REAL(write)(out, piece, got);
    if (at && done > 0) *at += done;
    return done;
}
ssize_t sendfile(int out, int in, off_t *at, size_t size) {
    GUARD_FD("sendfile", out, 1, REAL(sendfile)(out, in, at, 4096));
    if (mode == POWER) return sent(out, in, at ? (off64_t *)at : NULL, size);
    return REAL(sendfile)(out, in, at, size);
}
ssize_t sendfile64(int out, int in, off64_t *at, size_t size) {
    GUARD_FD("sendfile", out, 1, REAL(sendfile64)(out, in, at, 4096));
    if (mode == POWER) return sent(out, in, at ? (off64_t *)at : NULL, size);
    return REAL(sendfile64)(out, in, at, size);
}
int fsync(int fd) {
    GUARD_FD("fsync", fd, 0, );
    NOTE_FD(fd, synced(fd));
    return REAL(fsync)(fd);
}
int fdatasync(int fd) {
    GUARD_FD("fdatasync", fd, 0, );
    NOTE_FD(fd, synced(fd));
    return REAL(fdatasync)(fd);
}
int ftruncate(int fd, off_t size) {
    GUARD_FD("ftruncate", fd, 0, );
    NOTE_FD(fd, synced(fd)); /* a change of the file's length waits for what was written to it */
    return REAL(ftruncate)(fd, size);
}
int ftruncate64(int fd, off64_t size) {
    GUARD_FD("ftruncate", fd, 0, );
    NOTE_FD(fd, synced(fd));
    return REAL(ftruncate64)(fd, size);
}
int fchmod(int fd, mode_t rights) {
    GUARD_FD("chmod", fd, 0, );
    return REAL(fchmod)(fd, rights);
}
int chmod(const char *path, mode_t rights) {
    GUARD_PATH("chmod", path, 0);
    return REAL(chmod)(path, rights);
}
int rename(const char *from, const char *to) {
    GUARD_PATH("rename", to, 0);
    return REAL(rename)(from, to);
}
int link(const char *from, const char *to) {
    GUARD_PATH("link", to, 1);
    return REAL(link)(from, to);
}
int unlink(const char *path) {
    GUARD_PATH("unlink", path, 0);
    return REAL(unlink)(path);
}
int remove(const char *path) {
    GUARD_PATH("unlink", path, 0);
    return REAL(remove)(path);
}
int fallocate(int fd, int how, off_t at, off_t size) {
    GUARD_FD("fallocate", fd, 1, );
    return REAL(fallocate)(fd, how, at, size);
}
int unlinkat(int at, const char *path, int flags) {
    GUARD_PATH("unlink", path, 0);
    return REAL(unlinkat)(at, path, flags);
}
int mkdir(const char *path, mode_t rights) {
    GUARD_PATH("mkdir", path, 1);
    return REAL(mkdir)(path, rights);
}
int rmdir(const char *path) {
    GUARD_PATH("rmdir", path, 0);
    return REAL(rmdir)(path);
}

#define OPENING(name, symbol) \
    int symbol(const char *path, int flags, ...) { \
        va_list more; \
        va_start(more, flags); \
        mode_t rights = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0; \
        va_end(more); \
        if (flags & (O_CREAT | O_TRUNC)) { GUARD_PATH("open", path, 1); } \
        return REAL(symbol)(path, flags, rights); \
    }
OPENING("open", open)
OPENING("open", open64)
