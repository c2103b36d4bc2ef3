/*
 * fdw.c
 *    Entry points that PostgreSQL looks up by name.
 */
#include "host.h"

#include "fmgr.h"
#include "utils/guc.h"

PG_MODULE_MAGIC;

void		_PG_init(void);

PG_FUNCTION_INFO_V1(cio_fdw_handler);
PG_FUNCTION_INFO_V1(cio_fdw_validator);
PG_FUNCTION_INFO_V1(cio_fdw_cache_clear);

/* _PG_init defines the settings. It starts no Python: many backends never need it. */
void
_PG_init(void)
{
	DefineCustomStringVariable("cio_fdw.python",
							   "Python interpreter whose packages cio_fdw uses.",
							   "It must be of the version that the extension was built with. "
							   "Takes effect in backends that have not used cio_fdw yet.",
							   &host_python_guc,
							   CIO_PYTHON_EXE,
							   PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("cio_fdw.cache",
							 "Whether this session uses answers of the API that are kept (option cache_ttl).",
							 NULL,
							 &host_cache_guc,
							 true,
							 PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("cio_fdw.log_min_duration",
							"Time that a scan of the API takes before a message at level LOG tells of it.",
							"0 tells of every scan, -1 of none.",
							&host_log_min_ms_guc,
							HOST_LOG_MIN_MS, -1, INT_MAX,
							PGC_USERSET, GUC_UNIT_MS, NULL, NULL, NULL);
#if PG_VERSION_NUM >= 150000
	MarkGUCPrefixReserved("cio_fdw");
#else
	EmitWarningsOnPlaceholders("cio_fdw");
#endif
}

/* cio_fdw_handler returns the table of callbacks. */
Datum
cio_fdw_handler(PG_FUNCTION_ARGS)
{
	FdwRoutine *routine = makeNode(FdwRoutine);

	(void) fcinfo;
	host_check_version();
	routine->GetForeignRelSize = host_get_rel_size;
	routine->GetForeignPaths = host_get_paths;
	routine->GetForeignPlan = host_get_plan;
	routine->BeginForeignScan = host_begin_scan;
	routine->IterateForeignScan = host_iterate_scan;
	routine->ReScanForeignScan = host_rescan;
	routine->EndForeignScan = host_end_scan;
	routine->ExplainForeignScan = host_explain;
	routine->AnalyzeForeignTable = host_analyze;
	routine->ImportForeignSchema = host_import_schema;
	PG_RETURN_POINTER(routine);
}

/* is_ours returns whether a server's wrapper has our handler, whatever its name. */
static bool
is_ours(const ForeignServer *server)
{
	Oid			handler = GetForeignDataWrapper(server->fdwid)->fdwhandler;
	FmgrInfo	function;

	if (!OidIsValid(handler))
		return false;
	fmgr_info(handler, &function);
	return function.fn_addr == cio_fdw_handler;
}

/* cio_fdw_cache_clear removes the kept answers of the server that is named; returns how many. */
Datum
cio_fdw_cache_clear(PG_FUNCTION_ARGS)
{
	ForeignServer *server = GetForeignServerByName(NameStr(*PG_GETARG_NAME(0)), false);
	PyObject   *count;
	int64		removed;

	if (!is_ours(server))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a server of cio_fdw", server->servername)));
	host_start_python();
	count = host_call("cache_clear", Py_BuildValue("(N)", host_python_options(host_utf8_options(server->options))));
	removed = PyLong_AsLongLong(host_keep(count));
	if (removed == -1 && PyErr_Occurred())
		host_raise();
	PG_RETURN_INT64(removed);
}

/* cio_fdw_validator checks the options of one CREATE or ALTER. */
Datum
cio_fdw_validator(PG_FUNCTION_ARGS)
{
	return host_validate(fcinfo);
}
