/* A light that is none: `light NAME` makes it and says on standard output what it is set to, with the milliseconds since the start:
 * "light NAME VALUE at MS". include/uapi/linux/uleds.h: 64 bytes of name and the highest brightness are written to /dev/uleds, and
 * each change is read from it as an int. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int main(int count, char **words) {
  struct {
    char name[64];
    int most;
  } light = {.most = 1};
  int file = open("/dev/uleds", O_RDWR);
  int value;
  if (count < 2 || file < 0) return 1;
  strncpy(light.name, words[1], sizeof light.name - 1);
  if (write(file, &light, sizeof light) != sizeof light) return 1;
  while (read(file, &value, sizeof value) == sizeof value) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    printf("light %s %d at %ld\n", words[1], value, now.tv_sec * 1000 + now.tv_nsec / 1000000);
    fflush(stdout);
  }
  return 1;
}
