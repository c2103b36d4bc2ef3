/*
 * idle.c
 *    Ends connections that no statement has used for a while. A backend that
 *    waits for its client runs no Python and no thread of ours, but
 *    PostgreSQL's timers go on.
 */
#include "host.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "access/xact.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

/* More than a backend keeps: one key after the other, a few connections each. */
#define MAX_IDLE 64

/* Duplicates: whatever Python closes meanwhile, these numbers are of no other file. */
static int	idle[MAX_IDLE];
static volatile sig_atomic_t idle_count = 0;
static TimeoutId timer;
static TimestampTz due;
static bool is_busy = false;

/* end_idle runs in a signal handler. Python finds its sockets shut down, and closes them when it looks. */
static void
end_idle(void)
{
	int			saved = errno;

	for (int i = 0; i < idle_count; i++)
	{
		(void) shutdown(idle[i], SHUT_RDWR);
		(void) close(idle[i]);
	}
	idle_count = 0;
	errno = saved;
}

/*
 * go_on starts the timer again after an error, of which PostgreSQL stops every
 * timer. An error within a transaction that failed already is the end of
 * nothing, so that the next end of a transaction has to do.
 */
static void
go_on(XactEvent event, void *arg)
{
	(void) arg;
	if ((event == XACT_EVENT_ABORT || event == XACT_EVENT_COMMIT) &&
		idle_count > 0 && !get_timeout_active(timer))
		enable_timeout_at(timer, due);
}

/* host_start_idle prepares the timer, once per backend. */
void
host_start_idle(void)
{
	timer = RegisterTimeout(USER_TIMEOUT, end_idle);
	RegisterXactCallback(go_on, NULL);
}

/* host_is_busy returns whether requests may be under way. */
bool
host_is_busy(void)
{
	return is_busy;
}

/* leave_alone forgets the idle connections, which are in use or others from now on. */
static void
leave_alone(void)
{
	if (idle_count > 0)
	{
		disable_timeout(timer, false);
		for (int i = 0; i < idle_count; i++)
			(void) close(idle[i]);
		idle_count = 0;
	}
}

/* host_busy(): requests may be under way from now on, so connections are left alone. */
PyObject *
host_busy(PyObject *self, PyObject *args)
{
	(void) self;
	(void) args;
	leave_alone();
	is_busy = true;
	Py_RETURN_NONE;
}

/* host_idle(fds, seconds): no request is under way; these sockets are shut down unless busy() is called before. */
PyObject *
host_idle(PyObject *self, PyObject *args)
{
	PyObject   *fds;
	double		seconds;
	int			count = 0;

	is_busy = false;
	if (!PyArg_ParseTuple(args, "O!d:idle", &PyList_Type, &fds, &seconds))
		return NULL;
	(void) self;
	leave_alone();
	for (Py_ssize_t i = 0; i < PyList_GET_SIZE(fds) && count < MAX_IDLE; i++)
	{
		long		fd = PyLong_AsLong(PyList_GET_ITEM(fds, i));

		if (fd == -1 && PyErr_Occurred())
		{
			while (count > 0)
				(void) close(idle[--count]);
			return NULL;
		}
		if ((idle[count] = fcntl((int) fd, F_DUPFD_CLOEXEC, 0)) >= 0)
			count++;
	}
	if (count > 0)
	{
		due = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), (int64) (seconds * 1000.0));
		idle_count = count;
		enable_timeout_at(timer, due);
	}
	Py_RETURN_NONE;
}
