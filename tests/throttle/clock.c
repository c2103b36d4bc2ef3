/*
 * clock.c
 *    A wall clock that a test can set: put before the system's with LD_PRELOAD.
 *
 * The file $CIO_CLOCK_STEP holds the seconds that the clock is ahead, as eight bytes; it may change at any time. The
 * monotonic clock is left alone, as no step of the true one moves it.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *step;

__attribute__((constructor)) static void
start(void)
{
	const char *path = getenv("CIO_CLOCK_STEP");
	int			fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	void	   *page = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(*step), PROT_READ, MAP_SHARED, fd, 0);

	if (page != MAP_FAILED)
		step = page;
	if (fd >= 0)
		close(fd);
}

static int64_t
ahead(void)
{
	return step ? *step : 0;
}

int
clock_gettime(clockid_t id, struct timespec *now)
{
	static int	(*real) (clockid_t, struct timespec *);

	if (!real)
		real = (int (*) (clockid_t, struct timespec *)) dlsym(RTLD_NEXT, "clock_gettime");
	if (real(id, now) != 0)
		return -1;
	if (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)
		now->tv_sec += ahead();
	return 0;
}

int
gettimeofday(struct timeval *restrict now, void *restrict zone)
{
	struct timespec found;

	(void) zone;
	if (clock_gettime(CLOCK_REALTIME, &found) != 0)
		return -1;
	now->tv_sec = found.tv_sec;
	now->tv_usec = found.tv_nsec / 1000;
	return 0;
}

time_t
time(time_t *now)
{
	struct timespec found;

	clock_gettime(CLOCK_REALTIME, &found);
	if (now)
		*now = found.tv_sec;
	return found.tv_sec;
}
