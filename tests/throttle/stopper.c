/*
 * stopper.c
 *    Stops one process between its turn and its request: put before the system's fcntl with LD_PRELOAD.
 *
 * A turn is a lock on one of the first bytes of the state file, kept while the lock on the file as a whole is given
 * back. Whoever does that first after the file $CIO_STOP_NEXT was made removes it, and stops.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#define SLOTS 32
#define WHOLE_FILE ((off_t) 1 << 40)

typedef int (*Fcntl) (int, int, ...);

static __thread int has_turn;

static void
note(const struct flock *lock)
{
	const char *next = getenv("CIO_STOP_NEXT");

	if (lock->l_start < SLOTS)
		has_turn = lock->l_type == F_WRLCK && lock->l_len == 1;
	else if (lock->l_start == WHOLE_FILE && lock->l_type == F_UNLCK && has_turn)
	{
		has_turn = 0;
		if (next && unlink(next) == 0)
			raise(SIGSTOP);
	}
}

static int
call(const char *name, int fd, int command, void *argument)
{
	int			result = ((Fcntl) dlsym(RTLD_NEXT, name)) (fd, command, argument);

	if (result == 0 && (command == F_SETLK || command == F_SETLKW))
		note(argument);
	return result;
}

int
fcntl(int fd, int command, ...)
{
	va_list		arguments;
	void	   *argument;

	va_start(arguments, command);
	argument = va_arg(arguments, void *);
	va_end(arguments);
	return call("fcntl", fd, command, argument);
}

int
fcntl64(int fd, int command, ...)
{
	va_list		arguments;
	void	   *argument;

	va_start(arguments, command);
	argument = va_arg(arguments, void *);
	va_end(arguments);
	return call("fcntl64", fd, command, argument);
}
