/*
 * analyze.c
 *    ANALYZE: rows of a few requests, and the number of rows that they tell of.
 */
#include "host.h"

#include <math.h>

#include "access/htup_details.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/sampling.h"

#if PG_VERSION_NUM >= 150000
#define RANDOM_STATE(reservoir) (&(reservoir).randstate)
#else
#define RANDOM_STATE(reservoir) ((reservoir).randstate)
#endif

/* all_columns returns the attribute numbers of the columns that are there. */
static List *
all_columns(const HostTable *table)
{
	List	   *columns = NIL;

	for (int attno = 1; attno <= table->natts; attno++)
		if (table->names[attno - 1])
			columns = lappend_int(columns, attno);
	return columns;
}

/* total_rows returns what the sample tells of the whole table. */
static double
total_rows(PyObject *sample)
{
	PyObject   *number = host_keep(host_call_method(sample, "total_rows"));
	double		total = PyFloat_AsDouble(number);

	if (total < 0)
		host_checked(NULL);
	return total;
}

/*
 * acquire_rows fills rows with a random sample of at most target rows, each of
 * those read being as likely as the others. Returns how many there are.
 */
static int
acquire_rows(Relation relation, int elevel, HeapTuple *rows, int target, double *total, double *dead)
{
	HostTable  *table = host_table(RelationGetRelid(relation));
	HostReader *reader;
	MemoryContext row_context = AllocSetContextCreate(CurrentMemoryContext, "cio_fdw row",
													  ALLOCSET_DEFAULT_SIZES);
	Datum	   *values = palloc(sizeof(Datum) * table->natts);
	bool	   *isnull = palloc(sizeof(bool) * table->natts);
	PyObject   *row;
	ReservoirStateData random;
	double		seen = 0;
	int			n = 0;

	host_start_python();
	reader = host_make_reader(table, all_columns(table));
	reservoir_init_selection_state(&random, target);
	host_open_reader(reader, "open_sample", GetUserId());
	reader->batches = host_checked(PyObject_CallMethod(reader->source, "start", "i", target));
	while ((row = host_next_row(reader)) != NULL)
	{
		double		drawn = n < target ? n : floor((seen + 1) * sampler_random_fract(RANDOM_STATE(random)));
		MemoryContext previous;
		int			place;

		seen++;
		if (drawn >= target)
			continue;
		place = (int) drawn;
		previous = MemoryContextSwitchTo(row_context);
		host_fill_row(reader, row, values, isnull);
		MemoryContextSwitchTo(previous);
		if (n == target)
			heap_freetuple(rows[place]);
		else
			n++;
		rows[place] = heap_form_tuple(RelationGetDescr(relation), values, isnull);
		MemoryContextReset(row_context);
	}
	*total = total_rows(reader->source);
	*dead = 0;
	ereport(elevel, (errmsg("\"%s\": read %.0f rows, kept %d; estimated %.0f rows in all",
							RelationGetRelationName(relation), seen, n, *total)));
	host_release_reader(reader);
	return n;
}

/* host_analyze says that the table can be sampled. It has no pages; ANALYZE wants to hear of one. */
bool
host_analyze(Relation relation, AcquireSampleRowsFunc *function, BlockNumber *pages)
{
	(void) relation;
	*function = acquire_rows;
	*pages = 1;
	return true;
}
