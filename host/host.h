/*
 * host.h
 *    What the files of the native host share.
 *
 * The host stands between PostgreSQL and the Python package cio_fdw. It knows
 * nothing of Customer.io. Two rules hold everywhere:
 *
 *  - A PostgreSQL error never jumps over a Python frame. C functions that
 *    Python calls catch it, copy it, and raise Interrupted; host_raise(), with
 *    no Python frame left, throws it again.
 *  - A Python object is never owned by a C stack frame across a call that may
 *    ereport: a scan's state or a memory context (host_keep) owns it. Values
 *    for Python cross in two steps: Datum to HostValue (may ereport), then
 *    HostValue to PyObject (may not).
 */
#ifndef CIO_HOST_H
#define CIO_HOST_H

/* Python defines these itself, and warns when PostgreSQL's headers did first. */
#include "postgres.h"
#undef _POSIX_C_SOURCE
#undef _XOPEN_SOURCE
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "commands/explain.h"
#if PG_VERSION_NUM >= 180000
#include "commands/explain_state.h"
#endif
#include "foreign/fdwapi.h"
#include "datatype/timestamp.h"
#include "foreign/foreign.h"
#include "nodes/pathnodes.h"
#include "utils/rel.h"

/* PostgreSQL's own macro moved to the front of the declaration in version 18. */
#define HOST_NORETURN __attribute__((noreturn))

#if PY_VERSION_HEX < 0x030A0000
static inline PyObject *
Py_NewRef(PyObject *object)
{
	Py_INCREF(object);
	return object;
}
#endif

/* Microseconds from 1970-01-01 to 2000-01-01, where PostgreSQL's timestamps start. */
#define HOST_UNIX_EPOCH_OFFSET_US \
	((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY)

/* One operator of a qual; the order is that of host_op_names. */
typedef enum HostOp
{
	HOST_EQ,
	HOST_LT,
	HOST_LE,
	HOST_GT,
	HOST_GE,
	HOST_IN,
	HOST_IS_NULL,
	HOST_IS_NOT_NULL,
	HOST_OR
} HostOp;

extern const char *const host_op_names[];

typedef enum HostKind
{
	HOST_NULL,
	HOST_UNKNOWN,
	HOST_INT,
	HOST_FLOAT,
	HOST_BOOL,
	HOST_STRING,
	HOST_ARRAY
} HostKind;

/* A value on its way to Python: plain C memory, strings in UTF-8. */
typedef struct HostValue
{
	HostKind	kind;
	int64		integer;
	double		real;
	char	   *string;
	struct HostValue *items;
	int			nitems;
} HostValue;

/*
 * How roughly a function of a time keeps the order of times (steps.c), in hours
 * rounded up: those further apart never come out in the wrong order.
 */
typedef struct HostOrder
{
	List	   *zones;			/* of String: time zones whose clocks it reads; "" is the session's */
	int			loose_h;		/* where no clock changes */
	int			change_loose_h; /* where one of these clocks changes */
	int			reach_h;		/* how far from the time itself clocks are read, or HOST_ANYWHERE */
} HostOrder;

#define HOST_ANYWHERE (-1)

/*
 * One recognised condition: "column op right", or an OR of branches. `right` is
 * unused for null tests. Of a shape (shapes.c) it is the whole condition, and
 * right_type is InvalidOid.
 */
typedef struct HostQual
{
	AttrNumber	attno;
	HostOp		op;
	Oid			right_type;		/* element type for HOST_IN */
	Expr	   *right;
	HostOrder	order;			/* of a shape */
	List	   *branches;		/* of HOST_OR: a List of HostQual each */
	int			number;			/* of this leaf in the flat list of host_leaves */
} HostQual;

/* What a scan is expected to bring and to cost. */
typedef struct HostEstimate
{
	double		rows;			/* that meet the clauses */
	double		fetched_rows;	/* that the requests bring */
	double		requests;
	double		table_rows;
	int			width;
	double		startup_cost;
	double		total_cost;
	bool		is_exact;		/* every fetched row meets the clauses, as far as is known */
} HostEstimate;

/* What host_get_rel_size learns and planning uses later: RelOptInfo.fdw_private. */
typedef struct HostRel
{
	double		known_rows;		/* of the table, by ANALYZE; 0 when it did not run */
	HostEstimate estimate;
	struct HostTable *table;
	List	   *columns;		/* attribute numbers that the statement needs */
} HostRel;

/* The options and columns of one foreign table, as C strings in UTF-8. */
typedef struct HostTable
{
	char	   *relname;
	char	   *server_name;
	List	   *server_options; /* of DefElem */
	List	   *table_options;
	Oid			server_id;
	int			natts;
	char	  **names;			/* by attno - 1; NULL when dropped */
	char	  **types;
	Oid		   *type_ids;
} HostTable;

/* The rows of one Python scan. */
typedef struct HostReader
{
	HostTable  *table;
	int			ncolumns;
	int		   *columns;		/* attno - 1 of each item of a row tuple */
	void	   *statement;		/* the memory context that its readers share: tells running statements apart */
	PyObject   *source;			/* what open_scan or open_sample returned, NULL before */
	PyObject   *batches;		/* iterator over lists of row tuples */
	PyObject   *batch;			/* the list being read */
	Py_ssize_t	next;			/* index of the next row in batch */
	bool		exhausted;		/* Python has no more batches */
	MemoryContextCallback ended;
	ErrorContextCallback converting;
	int			current;		/* column being converted, for error context */
} HostReader;

/* interpreter.c */
extern char *host_python_guc;
extern bool host_cache_guc;
extern int	host_log_min_ms_guc;

/* Default of cio_fdw.log_min_duration: a scan that takes longer is a message at level LOG. */
#define HOST_LOG_MIN_MS 10000
extern PyObject *host_native;	/* the module cio_fdw.native, NULL before */
extern PyObject *host_interrupted;
extern PyObject *host_unknown;
extern bool host_exiting;
extern void host_start_python(void);

/* python.c */
extern PyObject *host_call(const char *function, PyObject *args);
extern PyObject *host_call_method(PyObject *object, const char *method);
extern PyObject *host_checked(PyObject *result);
extern PyObject *host_keep(PyObject *object);
extern void host_raise(void) HOST_NORETURN;
extern char *host_text(PyObject *object);

/* wait.c */
extern PyMethodDef host_methods[];
extern bool host_pending(void);
extern void host_forget_pending(void);
extern void host_rethrow_pending(void) HOST_NORETURN;

/* idle.c */
extern void host_start_idle(void);
extern bool host_is_busy(void);
extern PyObject *host_busy(PyObject *self, PyObject *args);
extern PyObject *host_idle(PyObject *self, PyObject *args);

/* values.c */
extern char *host_to_utf8(const char *text);
extern char *host_from_utf8(const char *utf8);
extern List *host_utf8_options(List *options);
extern HostValue host_value(Datum datum, bool isnull, Oid type, bool is_array);
extern bool host_type_is_supported(Oid type);
extern PyObject *host_python_value(const HostValue *value);
extern PyObject *host_python_options(List *options);
extern PyObject *host_python_strings(char **strings, int n);
extern PyObject *host_python_table(const HostTable *table);

/* quals.c */
extern Var *host_plain_var(Node *node, RelOptInfo *rel);
extern bool host_is_constant(PlannerInfo *root, RelOptInfo *rel, Node *node);
extern List *host_recognise(PlannerInfo *root, RelOptInfo *rel, List *clauses);

/* estimate.c */
extern HostEstimate host_estimate(PlannerInfo *root, RelOptInfo *rel, const HostTable *table,
								  List *columns, List *clauses);

/* qualtree.c */
extern List *host_leaves(List *quals);
extern List *host_describe_quals(List *quals, List **rights);
extern List *host_described_quals(List *described, List *rights);
extern PyObject *host_python_quals(const HostTable *table, List *quals, const HostValue *values);

/* shapes.c */
extern List *host_recognise_shape(PlannerInfo *root, RelOptInfo *rel, Oid opno, Node *left,
								  Node *right, Oid collation);
extern bool host_called(Node *node, Oid *function, List **args);

/* steps.c */
typedef struct HostStep HostStep;
extern const HostStep *host_find_step(PlannerInfo *root, RelOptInfo *rel, Oid function, List *args);
extern int	host_step_argument(const HostStep *step, bool *falls);
extern bool host_pass_step(HostOrder *order, const HostStep *step, List *args);

/* turning.c */
extern HostValue host_turning_point(const HostQual *qual, Node *condition, ExprContext *context);
extern HostValue host_planned_turning_point(const HostQual *qual, Node *condition);

/* plan.c */
extern char **host_column_names(const HostTable *table, List *columns);
extern void host_get_rel_size(PlannerInfo *root, RelOptInfo *rel, Oid table_id);
extern void host_get_paths(PlannerInfo *root, RelOptInfo *rel, Oid table_id);
extern ForeignScan *host_get_plan(PlannerInfo *root, RelOptInfo *rel, Oid table_id,
								  ForeignPath *path, List *tlist, List *clauses, Plan *outer);
extern List *host_plan_quals(ForeignScan *plan);
extern List *host_plan_columns(ForeignScan *plan);
extern int	host_plan_limit(ForeignScan *plan);
extern double host_plan_requests(ForeignScan *plan);

/* reader.c */
extern HostReader *host_make_reader(HostTable *table, List *columns);
extern void host_open_reader(HostReader *reader, const char *function, Oid user);
extern bool host_next_batch(HostReader *reader);
extern PyObject *host_next_row(HostReader *reader);
extern void host_fill_row(HostReader *reader, PyObject *row, Datum *values, bool *isnull);
extern void host_stop_reading(HostReader *reader);
extern void host_release_reader(void *reader);

/* ahead.c */
typedef struct HostAhead HostAhead;
extern HostAhead *host_make_ahead(HostReader *reader, TupleDesc descriptor, bool is_whole);
extern bool host_next_ahead(HostAhead *ahead, TupleTableSlot *slot);
extern void host_forget_ahead(HostAhead *ahead);
extern void host_end_ahead(HostAhead *ahead);

/* analyze.c */
extern bool host_analyze(Relation relation, AcquireSampleRowsFunc *function, BlockNumber *pages);

/* scan.c */
typedef struct HostScan HostScan;
extern void host_begin_scan(ForeignScanState *node, int eflags);
extern TupleTableSlot *host_iterate_scan(ForeignScanState *node);
extern void host_rescan(ForeignScanState *node);
extern void host_end_scan(ForeignScanState *node);
extern PyObject *host_scan_object(ForeignScanState *node);
extern PyObject *host_scan_limit(ForeignScanState *node);
extern PyObject *host_planned_quals(ForeignScanState *node, const HostTable *table);

/* jsonb.c */
extern Datum host_jsonb(char *json);

/* datums.c */
extern Datum host_datum(PyObject *value, Oid type, bool *isnull);

/* explain.c */
extern void host_explain(ForeignScanState *node, ExplainState *es);

/* catalog.c */
extern HostTable *host_table(Oid table_id);
extern List *host_import_schema(ImportForeignSchemaStmt *stmt, Oid server_id);
extern Datum host_validate(PG_FUNCTION_ARGS);

/* version.c */
extern void host_check_version(void);

#endif
