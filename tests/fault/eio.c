/* Makes one call of the operating system fail, as a bad disk does: for LD_PRELOAD.
 *
 * The file FAULT_CONTROL is mapped by us and by the test:
 *   [0] calls to let pass before one fails, below 0: none fails   [1] errno of the failure
 *   [2] calls seen   [3] failures still to come after the first in a row   [4] failures made
 *   from byte 64: only calls on files whose path contains this text count */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static volatile int *control;

__attribute__((constructor)) static void begin(void) {
  const char *path = getenv("FAULT_CONTROL");
  int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, "open");
  int fd = path ? real(path, O_RDWR | O_CLOEXEC) : -1;
  if (fd < 0) return;
  void *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (map != MAP_FAILED) control = map;
  close(fd);
}

static int fails_now(const char *path) {
  if (!control || !strstr(path, (const char *)control + 64)) return 0;
  __sync_fetch_and_add(&control[2], 1);
  if (control[0] < 0) return 0;
  if (__sync_fetch_and_sub(&control[0], 1) != 0) return 0;
  if (control[3] > 0) {
    __sync_fetch_and_sub(&control[3], 1);
    control[0] = 0;
  }
  __sync_fetch_and_add(&control[4], 1);
  errno = control[1];
  return 1;
}

static int fd_fails(int fd) {
  char link[64], path[4096];
  if (!control) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return fails_now(path);
}

#define ON_FD(type, name, parameters, arguments)            \
  type name parameters {                                    \
    static type(*real) parameters;                          \
    if (!real) real = dlsym(RTLD_NEXT, #name);              \
    return fd_fails(fd) ? (type)-1 : real arguments;        \
  }

ON_FD(ssize_t, read, (int fd, void *data, size_t size), (fd, data, size))
ON_FD(ssize_t, write, (int fd, const void *data, size_t size), (fd, data, size))
ON_FD(ssize_t, pread, (int fd, void *data, size_t size, off_t at), (fd, data, size, at))
ON_FD(ssize_t, pread64, (int fd, void *data, size_t size, off64_t at), (fd, data, size, at))
ON_FD(ssize_t, pwrite, (int fd, const void *data, size_t size, off_t at), (fd, data, size, at))
ON_FD(ssize_t, pwrite64, (int fd, const void *data, size_t size, off64_t at), (fd, data, size, at))
ON_FD(ssize_t, pwritev, (int fd, const struct iovec *v, int n, off_t at), (fd, v, n, at))
ON_FD(ssize_t, pwritev64, (int fd, const struct iovec *v, int n, off64_t at), (fd, v, n, at))
ON_FD(ssize_t, pwritev2, (int fd, const struct iovec *v, int n, off_t at, int f), (fd, v, n, at, f))
ON_FD(ssize_t, pwritev64v2, (int fd, const struct iovec *v, int n, off64_t at, int f),
      (fd, v, n, at, f))
ON_FD(int, fsync, (int fd), (fd))
ON_FD(int, fdatasync, (int fd), (fd))
ON_FD(int, ftruncate, (int fd, off_t size), (fd, size))
ON_FD(int, ftruncate64, (int fd, off64_t size), (fd, size))

#define OPENING(name)                                       \
  int name(const char *path, int flags, ...) {              \
    static int (*real)(const char *, int, ...);             \
    va_list rest;                                           \
    va_start(rest, flags);                                  \
    mode_t mode = va_arg(rest, int);                        \
    va_end(rest);                                           \
    if (!real) real = dlsym(RTLD_NEXT, #name);              \
    return fails_now(path) ? -1 : real(path, flags, mode);  \
  }

OPENING(open)
OPENING(open64)

int mkdir(const char *path, mode_t mode) {
  static int (*real)(const char *, mode_t);
  if (!real) real = dlsym(RTLD_NEXT, "mkdir");
  return fails_now(path) ? -1 : real(path, mode);
}

int rename(const char *from, const char *to) {
  static int (*real)(const char *, const char *);
  if (!real) real = dlsym(RTLD_NEXT, "rename");
  return fails_now(to) ? -1 : real(from, to);
}

int unlink(const char *path) {
  static int (*real)(const char *);
  if (!real) real = dlsym(RTLD_NEXT, "unlink");
  return fails_now(path) ? -1 : real(path);
}
