/*
 * interpreter.c
 *    The interpreter of the backend: its start, or joining one that PL/Python
 *    started, and the end of its threads.
 */
#include "host.h"

#include <unistd.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/elog.h"

char	   *host_python_guc = NULL;
bool		host_cache_guc = true;
int			host_log_min_ms_guc = HOST_LOG_MIN_MS;
PyObject   *host_native = NULL;
PyObject   *host_interrupted = NULL;
PyObject   *host_unknown = NULL;
bool		host_exiting = false;

/* check_status reports a failed step of the interpreter's start. */
static void
check_status(PyStatus status, PyConfig *config)
{
	if (PyStatus_Exception(status))
	{
		char		reason[256];

		strlcpy(reason, status.err_msg ? status.err_msg : "unknown reason", sizeof(reason));
		if (config)
			PyConfig_Clear(config);
		ereport(ERROR,
				(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
				 errmsg("cio_fdw could not start Python: %s", reason),
				 errhint("Check the setting cio_fdw.python; it must be a Python %d.%d that the server's operating system user can read.",
						 PY_MAJOR_VERSION, PY_MINOR_VERSION)));
	}
}

/*
 * admit_plpython lets PL/Python join our interpreter later. It makes its module
 * plpy a built-in one, but Python lists those only when it starts.
 */
static void
admit_plpython(void)
{
	PyObject   *known = PySys_GetObject("builtin_module_names");
	PyObject   *plpy = Py_BuildValue("(s)", "plpy");
	PyObject   *names = known && plpy ? PySequence_Concat(known, plpy) : NULL;

	if (!names || PySys_SetObject("builtin_module_names", names) < 0)
		PyErr_Clear();
	Py_XDECREF(plpy);
	Py_XDECREF(names);
}

/* What Python takes for its start, generously. */
#define START_BYTES (32 * 1024 * 1024)

/*
 * check_memory raises an error where memory is so short that Python could not
 * start: without it, Python ends the process, and PostgreSQL then all others.
 */
static void
check_memory(void)
{
	/* Volatile, or the compiler does without both calls. */
	void	   *volatile room = malloc(START_BYTES);

	if (!room)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory"),
				 errdetail("Python needs %d MB to start.", START_BYTES / (1024 * 1024))));
	free(room);
}

/*
 * initialize starts CPython: no signal handlers, no environment variables, no
 * change of locale, and the site-packages of the recorded interpreter.
 */
static void
initialize(void)
{
	PyPreConfig preconfig;
	PyConfig	config;

	if (access(host_python_guc, X_OK) != 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("cio_fdw cannot run the Python interpreter \"%s\": %m", host_python_guc),
				 errhint("Set cio_fdw.python to a Python %d.%d that the server's operating system user can read.",
						 PY_MAJOR_VERSION, PY_MINOR_VERSION)));

	check_memory();
	PyPreConfig_InitIsolatedConfig(&preconfig);
	preconfig.utf8_mode = 1;
	check_status(Py_PreInitialize(&preconfig), NULL);

	PyConfig_InitIsolatedConfig(&config);
	config.install_signal_handlers = 0;
	config.write_bytecode = 0;
	check_status(PyConfig_SetBytesString(&config, &config.program_name, host_python_guc), &config);
	check_status(PyConfig_SetBytesString(&config, &config.executable, host_python_guc), &config);
	check_status(Py_InitializeFromConfig(&config), &config);
	PyConfig_Clear(&config);
	admit_plpython();
}

/* site_packages returns where the packages of the interpreter of cio_fdw.python are. */
static char *
site_packages(void)
{
	char	   *prefix = pstrdup(host_python_guc);

	if (strcmp(host_python_guc, CIO_PYTHON_EXE) == 0)
		return CIO_PYTHON_SITE;
	get_parent_directory(prefix);
	get_parent_directory(prefix);
	return psprintf("%s/lib/python%d.%d/site-packages", prefix, PY_MAJOR_VERSION, PY_MINOR_VERSION);
}

/*
 * join_interpreter makes an interpreter that runs already find our packages:
 * PL/Python started it, or we did with a cio_fdw.python that has no cio_fdw.
 */
static void
join_interpreter(void)
{
	PyObject   *site;
	PyObject   *result = NULL;
	char	   *packages = site_packages();
	int			major = 0;
	int			minor = 0;

	if (sscanf(Py_GetVersion(), "%d.%d", &major, &minor) != 2 ||
		major != PY_MAJOR_VERSION || minor != PY_MINOR_VERSION)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("this session already runs another Python than cio_fdw was built with"),
				 errdetail("The session runs %.32s, cio_fdw needs %d.%d.",
						   Py_GetVersion(), PY_MAJOR_VERSION, PY_MINOR_VERSION),
				 errhint("Use PL/Python and cio_fdw in different sessions, or build cio_fdw with the Python of PL/Python.")));

	site = PyImport_ImportModule("site");
	if (site)
		result = PyObject_CallMethod(site, "addsitedir", "s", packages);
	Py_XDECREF(site);
	Py_XDECREF(host_checked(result));
}

/*
 * stop_threads ends all workers before the process exits, whatever brought the
 * exit about. As a rule Python has unwound by then and there are none (wait.c).
 * A background worker may exit in the handler of a signal, as PostgreSQL's own
 * handler does, so in the midst of a wait, without Python's lock.
 */
static void
stop_threads(int code, Datum arg)
{
	PyObject   *result;

	(void) code;
	(void) arg;
	host_exiting = true;
	(void) PyGILState_Ensure();
	if (PyEval_GetFrame())
		elog(DEBUG1, "cio_fdw: the session ends within Python");
	result = PyObject_CallMethod(host_native, "stop_all", NULL);
	if (!result)
		PyErr_Clear();
	Py_XDECREF(result);
}

/* From this size on, malloc gives memory back to the system when it is freed. */
#define LARGE_BYTES (128 * 1024)

/*
 * limit_heap keeps the bodies of answers from fragmenting the heap. glibc gives
 * each thread a heap of its own, and once a large block was freed takes later
 * ones from the heap too. Python allocates under one lock anyway.
 */
static void
limit_heap(void)
{
#ifdef __GLIBC__
	mallopt(M_ARENA_MAX, 1);
	mallopt(M_MMAP_THRESHOLD, LARGE_BYTES);
#endif
}

/*
 * import_native returns cio_fdw.native. An import cannot be interrupted and all of
 * it takes a tenth of a second, so what it needs comes first, piece by piece.
 */
static PyObject *
import_native(void)
{
	static const char *const pieces[] = {
		"cio_fdw.convert", "cio_fdw.plan", "cio_fdw.journal", "cio_fdw.seeing", "cio_fdw.connections"
	};

	for (int i = 0; i < (int) lengthof(pieces); i++)
	{
		CHECK_FOR_INTERRUPTS();
		Py_DECREF(host_checked(PyImport_ImportModule(pieces[i])));
	}
	CHECK_FOR_INTERRUPTS();
	return host_checked(PyImport_ImportModule("cio_fdw.native"));
}

/*
 * host_start_python makes cio_fdw.native callable. It starts the interpreter
 * once per backend and is cheap afterwards.
 */
void
host_start_python(void)
{
	static PyModuleDef module_def = {PyModuleDef_HEAD_INIT, .m_name = "_cio_fdw_host", .m_size = -1};
	PyObject   *module;
	PyObject   *imported;
	PyObject   *result = NULL;

	if (host_native)
		return;
	limit_heap();
	if (Py_IsInitialized())
		join_interpreter();
	else
		initialize();

	imported = import_native();
	Py_XDECREF(host_interrupted);
	Py_XDECREF(host_unknown);
	host_interrupted = PyObject_GetAttrString(imported, "Interrupted");
	host_unknown = host_interrupted ? PyObject_GetAttrString(imported, "UNKNOWN") : NULL;
	module_def.m_methods = host_methods;
	module = host_unknown ? PyModule_Create(&module_def) : NULL;
	if (module)
		result = PyObject_CallMethod(imported, "start", "O", module);
	Py_XDECREF(module);
	if (!result)
		Py_DECREF(imported);
	Py_DECREF(host_checked(result));
	host_native = imported;
	before_shmem_exit(stop_threads, (Datum) 0);
	host_start_idle();
}
