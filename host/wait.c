/*
 * wait.c
 *    The functions that Python calls: wait, notice, warning, log, those that
 *    tell settings, and those of idle.c. The first four may meet a PostgreSQL error, which must not jump over the
 *    Python frames below.
 */
#include "host.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/elog.h"
#include "utils/wait_event.h"

/* Of libpq/libpq.h, which needs the headers of GSSAPI and OpenSSL. */
extern bool pq_check_connection(void);

/* The PostgreSQL error that waits for Python to unwind; see stash_error. */
static ErrorData *pending_error = NULL;
/* There was no memory for a copy of it. */
static bool lost_error = false;
static bool postmaster_died = false;

/* How often interrupts are held off. An error sets it to none, which only the end of a transaction makes good. */
typedef struct Holdoff
{
	uint32		interrupts;
	uint32		cancels;
} Holdoff;

static Holdoff
holdoff_now(void)
{
	Holdoff		now = {InterruptHoldoffCount, QueryCancelHoldoffCount};

	return now;
}

/*
 * stash_error copies the error being handled and makes Python unwind. Called in
 * PG_CATCH. The copy lives in `context`, which outlasts the Python frames;
 * `holdoff` is what it was before the error.
 */
static void
stash_error(MemoryContext context, Holdoff holdoff)
{
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		if (!pending_error)
			pending_error = CopyErrorData();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		lost_error = true;
	}
	PG_END_TRY();
	FlushErrorState();
	InterruptHoldoffCount = holdoff.interrupts;
	QueryCancelHoldoffCount = holdoff.cancels;
	PyErr_SetString(host_interrupted, "PostgreSQL ends this statement");
}

/* host_pending returns whether a PostgreSQL error waits to be thrown again. */
bool
host_pending(void)
{
	return pending_error != NULL || lost_error;
}

/* host_forget_pending drops the error: the query that it should end is over. */
void
host_forget_pending(void)
{
	pending_error = NULL;
	lost_error = false;
}

/*
 * host_rethrow_pending throws what made Python unwind. A backend that is told
 * to die does so here, where no Python frame and no worker thread is left.
 */
void
host_rethrow_pending(void)
{
	ErrorData  *error = pending_error;
	bool		is_lost = lost_error;

	host_forget_pending();
#if PG_VERSION_NUM < 160000
	/*
	 * Recovery repeats every few milliseconds what it asked for, so it did while Python unwound. What it said
	 * last ends the statement then: after the statement, it would end the session.
	 */
	if (error)
		CHECK_FOR_INTERRUPTS();
#endif
	if (error)
		ReThrowError(error);
	if (is_lost)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory"),
				 errdetail("Another error could not be copied.")));
	if (postmaster_died)
		proc_exit(1);
	CHECK_FOR_INTERRUPTS();

	/* The interrupt went away meanwhile. The scan is over, so its result would be short. */
	ereport(ERROR,
			(errcode(ERRCODE_QUERY_CANCELED),
			 errmsg("canceling statement due to an interrupted request")));
}

/*
 * timeout_ends_session returns whether one of the timeouts of sessions is over.
 * As PostgreSQL does, it ignores one that was switched off meanwhile.
 */
static bool
timeout_ends_session(void)
{
#if PG_VERSION_NUM >= 170000
	if (TransactionTimeoutPending && TransactionTimeout > 0)
		return true;
#endif
	return (IdleInTransactionSessionTimeoutPending && IdleInTransactionSessionTimeout > 0) ||
		(IdleSessionTimeoutPending && IdleSessionTimeout > 0);
}

/*
 * conflict_ends_session returns whether recovery ends the session, or else the
 * statement. Before version 16 it asks for that as others do; from then on the
 * reasons may be known to postgres.c alone.
 */
static bool
conflict_ends_session(void)
{
#if PG_VERSION_NUM >= 160000
	return MyProc->recoveryConflictPending;
#else
	return false;
#endif
}

/*
 * ends_session returns whether the interrupts at hand are FATAL. That exits the
 * process from within CHECK_FOR_INTERRUPTS, so Python must have unwound before.
 * May ereport. What it does not know of exits from here; see stop_threads.
 */
static bool
ends_session(void)
{
	/* CHECK_FOR_INTERRUPTS looks for the client as well, and appoints the next look. */
	if (CheckClientConnectionPending && client_connection_check_interval > 0 && !pq_check_connection())
		ClientConnectionLost = true;
	return ProcDiePending || ClientConnectionLost || timeout_ends_session() || conflict_ends_session();
}

/* interrupts_allow returns true when the statement may go on, else sets Interrupted. */
static bool
interrupts_allow(void)
{
	MemoryContext context = CurrentMemoryContext;
	Holdoff		holdoff = holdoff_now();
	volatile bool allowed = true;

	if (!INTERRUPTS_PENDING_CONDITION())
		return true;
	PG_TRY();
	{
		if (INTERRUPTS_CAN_BE_PROCESSED() && ends_session())
		{
			/* host_rethrow_pending meets the interrupt again. */
			PyErr_SetString(host_interrupted, "PostgreSQL ends this session");
			allowed = false;
		}
		else
			CHECK_FOR_INTERRUPTS();
	}
	PG_CATCH();
	{
		stash_error(context, holdoff);
		allowed = false;
	}
	PG_END_TRY();
	return allowed;
}

/* wait_events waits without the GIL. It returns the events, or -1 with Interrupted set. */
static int
wait_events(int wanted, pgsocket fd, long timeout_ms)
{
	MemoryContext context = CurrentMemoryContext;
	Holdoff		holdoff = holdoff_now();
	PyThreadState *volatile thread = NULL;
	volatile int events = 0;

	thread = PyEval_SaveThread();
	PG_TRY();
	{
		events = WaitLatchOrSocket(MyLatch, wanted, fd, timeout_ms, PG_WAIT_EXTENSION);
	}
	PG_CATCH();
	{
		PyEval_RestoreThread(thread);
		thread = NULL;
		stash_error(context, holdoff);
		events = -1;
	}
	PG_END_TRY();
	if (thread)
		PyEval_RestoreThread(thread);
	return events;
}

/*
 * wait(seconds, fd) waits until fd is readable (True), or the time is over or
 * the latch was set for something harmless (False). It raises Interrupted when
 * the statement must end. fd -1 means none.
 */
static PyObject *
host_wait(PyObject *self, PyObject *args)
{
	double		seconds;
	int			fd = -1;
	int			events;

	(void) self;
	if (!PyArg_ParseTuple(args, "d|i:wait", &seconds, &fd))
		return NULL;
	if (!interrupts_allow())
		return NULL;
	/* The look for the client may have reset the latch of an interrupt that came meanwhile. */
	if (seconds < 0 || (INTERRUPTS_PENDING_CONDITION() && INTERRUPTS_CAN_BE_PROCESSED()))
		seconds = 0;
	if (seconds > 60)
		seconds = 60;
	events = wait_events(WL_LATCH_SET | WL_POSTMASTER_DEATH | WL_TIMEOUT | (fd >= 0 ? WL_SOCKET_READABLE : 0),
						 fd >= 0 ? fd : PGINVALID_SOCKET, (long) (seconds * 1000.0 + 0.999));
	if (events < 0)
		return NULL;
	if (events & WL_POSTMASTER_DEATH)
	{
		postmaster_died = true;
		PyErr_SetString(host_interrupted, "the postmaster died");
		return NULL;
	}
	if (events & WL_LATCH_SET)
		ResetLatch(MyLatch);
	if (!interrupts_allow())
		return NULL;
	return PyBool_FromLong(events & WL_SOCKET_READABLE);
}

/* emit sends text to the client at the given level. */
static PyObject *
emit(int level, PyObject *args)
{
	MemoryContext context = CurrentMemoryContext;
	Holdoff		holdoff = holdoff_now();
	PyObject   *text;
	volatile bool sent = true;

	if (!PyArg_ParseTuple(args, "U", &text))
		return NULL;
	/* ereport looks for interrupts once it has sent the message. */
	if (!interrupts_allow())
		return NULL;
	PG_TRY();
	{
		ereport(level, (errmsg_internal("%s", host_text(text))));
	}
	PG_CATCH();
	{
		stash_error(context, holdoff);
		sent = false;
	}
	PG_END_TRY();
	if (!sent)
		return NULL;
	Py_RETURN_NONE;
}

/* notice(text) sends a NOTICE to the client. */
static PyObject *
host_notice(PyObject *self, PyObject *args)
{
	(void) self;
	return emit(NOTICE, args);
}

/* warning(text) sends a WARNING to the client. */
static PyObject *
host_warning(PyObject *self, PyObject *args)
{
	(void) self;
	return emit(WARNING, args);
}

/* log(text) tells the server's log, and a client with client_min_messages = log. */
static PyObject *
host_log(PyObject *self, PyObject *args)
{
	(void) self;
	return emit(LOG, args);
}

/* log_min_ms() returns the setting cio_fdw.log_min_duration in milliseconds. */
static PyObject *
host_log_min_ms(PyObject *self, PyObject *args)
{
	(void) self;
	(void) args;
	return PyLong_FromLong(host_log_min_ms_guc);
}

/* caching() returns the setting cio_fdw.cache. */
static PyObject *
host_caching(PyObject *self, PyObject *args)
{
	(void) self;
	(void) args;
	return PyBool_FromLong(host_cache_guc);
}

PyMethodDef host_methods[] = {
	{"wait", host_wait, METH_VARARGS, "wait(seconds, fd=-1) -> whether fd is readable"},
	{"notice", host_notice, METH_VARARGS, "notice(text): a NOTICE to the client"},
	{"warning", host_warning, METH_VARARGS, "warning(text): a WARNING to the client"},
	{"log", host_log, METH_VARARGS, "log(text): a message at level LOG"},
	{"log_min_ms", host_log_min_ms, METH_NOARGS, "log_min_ms() -> from when on a scan is slow; -1: none is"},
	{"caching", host_caching, METH_NOARGS, "caching() -> whether kept answers may be used"},
	{"busy", host_busy, METH_NOARGS, "busy(): connections are in use"},
	{"idle", host_idle, METH_VARARGS, "idle(fds, seconds): shuts these sockets down then, unless busy() comes before"},
	{NULL, NULL, 0, NULL}
};
