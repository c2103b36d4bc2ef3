/*
 * python.c
 *    The interpreter of the backend, calls into cio_fdw.native, and Python
 *    exceptions as PostgreSQL errors.
 */
#include "host.h"

#include <unistd.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "catalog/namespace.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/elog.h"

char	   *host_python_guc = NULL;
bool		host_cache_guc = true;
int			host_log_min_ms_guc = HOST_LOG_MIN_MS;
PyObject   *host_interrupted = NULL;
PyObject   *host_unknown = NULL;
bool		host_exiting = false;

static PyObject *native = NULL;

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

/* stop_threads ends all workers before the process exits, whatever brought the exit about. */
static void
stop_threads(int code, Datum arg)
{
	PyObject   *result;

	(void) code;
	(void) arg;
	host_exiting = true;
	result = PyObject_CallMethod(native, "stop_all", NULL);
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

	if (native)
		return;
	limit_heap();
	if (Py_IsInitialized())
		join_interpreter();
	else
		initialize();

	imported = host_checked(PyImport_ImportModule("cio_fdw.native"));
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
	native = imported;
	before_shmem_exit(stop_threads, (Datum) 0);
}

/*
 * host_call calls a function of cio_fdw.native and returns its result, a new
 * reference. It takes over args. Errors leave as PostgreSQL errors.
 */
PyObject *
host_call(const char *function, PyObject *args)
{
	PyObject   *callable = args ? PyObject_GetAttrString(native, function) : NULL;
	PyObject   *result = callable ? PyObject_CallObject(callable, args) : NULL;

	Py_XDECREF(callable);
	Py_XDECREF(args);
	return host_checked(result);
}

/* host_call_method calls a method without arguments; errors leave as PostgreSQL errors. */
PyObject *
host_call_method(PyObject *object, const char *method)
{
	return host_checked(PyObject_CallMethod(object, method, NULL));
}

/*
 * host_checked returns result, unless it is NULL or PostgreSQL asked for an end
 * of the statement in the meantime: then it raises that.
 */
PyObject *
host_checked(PyObject *result)
{
	if (host_pending())
	{
		Py_XDECREF(result);
		PyErr_Clear();
		host_rethrow_pending();
	}
	if (!result)
		host_raise();
	return result;
}

/* forget drops the reference that a memory context held. */
static void
forget(void *object)
{
	if (!host_exiting)
		Py_DECREF((PyObject *) object);
}

/*
 * host_keep gives a reference to the current memory context, which drops it
 * when it is reset, and returns the object, borrowed.
 */
PyObject *
host_keep(PyObject *object)
{
	MemoryContextCallback *callback = palloc(sizeof(MemoryContextCallback));

	callback->func = forget;
	callback->arg = object;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, callback);
	return object;
}

/* converted returns UTF-8 text in the server's encoding, or NULL when that lacks a character. */
static char *
converted(const char *utf8)
{
	int			encoding = GetDatabaseEncoding();
	int			length = (int) strlen(utf8);
	int			size = length * MAX_CONVERSION_GROWTH + 1;
	char	   *text;
	Oid			conversion;

	if (encoding == PG_UTF8 || encoding == PG_SQL_ASCII)
		return pstrdup(utf8);
	conversion = FindDefaultConversionProc(PG_UTF8, encoding);
	if (!OidIsValid(conversion))
		return NULL;
	text = palloc(size);
	if (pg_do_encoding_conversion_buf(conversion, PG_UTF8, encoding, (unsigned char *) utf8, length,
									  (unsigned char *) text, size, true) != length)
		return NULL;
	return text;
}

/*
 * host_text returns a palloc'd copy of a Python string for a message, which
 * must never fail itself: what the server's encoding lacks is escaped.
 */
char *
host_text(PyObject *object)
{
	const char *utf8 = PyUnicode_Check(object) ? PyUnicode_AsUTF8(object) : NULL;
	char	   *text = utf8 ? converted(utf8) : NULL;
	PyObject   *ascii;

	if (text)
		return text;
	PyErr_Clear();
	ascii = PyUnicode_Check(object) ? PyUnicode_AsEncodedString(object, "ascii", "backslashreplace") : NULL;
	if (ascii)
		return pstrdup(PyBytes_AS_STRING(host_keep(ascii)));
	PyErr_Clear();
	return pstrdup("(not a text)");
}

/* item_text returns item i of a tuple as text, or NULL when it is None. */
static char *
item_text(PyObject *tuple, Py_ssize_t i)
{
	PyObject   *item = PyTuple_GetItem(tuple, i);

	return item && item != Py_None ? host_text(item) : NULL;
}

/* report turns what native.describe said of an exception into a PostgreSQL error. */
static void
report(PyObject *described)
{
	char	   *sqlstate;
	char	   *message;
	char	   *detail;
	char	   *hint;
	char	   *log;

	host_keep(described);
	sqlstate = item_text(described, 0);
	message = item_text(described, 1);
	detail = item_text(described, 2);
	hint = item_text(described, 3);
	log = item_text(described, 4);
	ereport(ERROR,
			(errcode(sqlstate && strlen(sqlstate) == 5
					 ? MAKE_SQLSTATE(sqlstate[0], sqlstate[1], sqlstate[2], sqlstate[3], sqlstate[4])
					 : ERRCODE_INTERNAL_ERROR),
			 errmsg_internal("%s", message ? message : "cio_fdw: no message"),
			 detail ? errdetail_internal("%s", detail) : 0,
			 hint ? errhint("%s", hint) : 0,
			 log ? errdetail_log("%s", log) : 0));
}

/* describe calls native.describe on the exception that is set, and clears it. */
static PyObject *
describe(void)
{
	PyObject   *type;
	PyObject   *value;
	PyObject   *traceback;
	PyObject   *described = NULL;

	PyErr_Fetch(&type, &value, &traceback);
	PyErr_NormalizeException(&type, &value, &traceback);
	if (value && traceback)
		PyException_SetTraceback(value, traceback);
	if (value && native)
		described = PyObject_CallMethod(native, "describe", "O", value);
	if (!described && value)
	{
		/* The package cannot even be imported, so say what Python says. */
		PyObject   *text;

		PyErr_Clear();
		text = PyObject_Str(value);
		if (text)
			described = Py_BuildValue("(sOOss)", "XX000", text, Py_None,
									  "Check the setting cio_fdw.python and that the package cio_fdw is installed for it.",
									  PyExceptionClass_Name(type));
		Py_XDECREF(text);
	}
	Py_XDECREF(type);
	Py_XDECREF(value);
	Py_XDECREF(traceback);
	PyErr_Clear();
	if (described && (!PyTuple_Check(described) || PyTuple_GET_SIZE(described) != 5))
		Py_CLEAR(described);
	return described;
}

/*
 * host_raise raises the Python exception that is set as a PostgreSQL error.
 * Interrupted stands for an error of PostgreSQL's own, which is thrown here,
 * after all Python frames have unwound.
 */
void
host_raise(void)
{
	PyObject   *described;

	if (host_interrupted && PyErr_ExceptionMatches(host_interrupted))
	{
		PyErr_Clear();
		host_rethrow_pending();
	}
	described = describe();
	if (!described)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("cio_fdw: Python failed without saying why")));
	report(described);
	pg_unreachable();
}
