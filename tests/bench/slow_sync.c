/* Makes each sync take 10 ms longer, as on a disk that manages 100 a second. For LD_PRELOAD. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>

static void wait_10_ms(void) {
  struct timespec time = {0, 10 * 1000 * 1000};
  nanosleep(&time, 0);
}

int fdatasync(int file) {
  static int (*real)(int);
  if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
  wait_10_ms();
  return real(file);
}

int fsync(int file) {
  static int (*real)(int);
  if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
  wait_10_ms();
  return real(file);
}
