/*
 * ahead.c
 *    Rows for PostgreSQL. It may keep a row for as long as it likes, and nothing
 *    looks after requests meanwhile. So those that Python gives while requests
 *    are under way wait here, converted, until none is; others are converted
 *    when they are asked for.
 */
#include "host.h"

#include "access/htup_details.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/tuplestore.h"

struct HostAhead
{
	HostReader *reader;
	bool		is_whole;		/* rows need system columns */
	MemoryContext context;		/* of all this, which lives as long as the scan */
	Tuplestorestate *rows;
	TupleTableSlot *row;		/* the latest one that PostgreSQL got */
	MemoryContext one_row;		/* what the conversion of a row needs */
	Datum	   *values;
	bool	   *isnull;
};

/*
 * new_store returns a store without rows. What is more than work_mem waits in a
 * temporary file, which is given back by the end of the present resource owner,
 * too.
 */
static Tuplestorestate *
new_store(HostAhead *ahead)
{
	MemoryContext previous = MemoryContextSwitchTo(ahead->context);
	Tuplestorestate *rows = tuplestore_begin_heap(false, false, work_mem);

	MemoryContextSwitchTo(previous);
	return rows;
}

/*
 * host_make_ahead returns an empty store of rows of this descriptor, in the current context. `is_whole`: the rows need
 * system columns.
 */
HostAhead *
host_make_ahead(HostReader *reader, TupleDesc descriptor, bool is_whole)
{
	HostAhead  *ahead = palloc0(sizeof(HostAhead));

	ahead->reader = reader;
	ahead->is_whole = is_whole;
	ahead->context = CurrentMemoryContext;
	ahead->rows = new_store(ahead);
	/* A copy, as references to a relation's own descriptor are counted. */
	ahead->row = MakeSingleTupleTableSlot(CreateTupleDescCopy(descriptor), &TTSOpsMinimalTuple);
	ahead->one_row = AllocSetContextCreate(CurrentMemoryContext, "cio_fdw row", ALLOCSET_DEFAULT_SIZES);
	ahead->values = palloc(sizeof(Datum) * Max(descriptor->natts, 1));
	ahead->isnull = palloc(sizeof(bool) * Max(descriptor->natts, 1));
	return ahead;
}

/* keep_rows converts the rows of the present batch and stores them. */
static void
keep_rows(HostAhead *ahead)
{
	HostReader *reader = ahead->reader;

	while (reader->next < PyList_GET_SIZE(reader->batch))
	{
		MemoryContext previous = MemoryContextSwitchTo(ahead->one_row);

		host_fill_row(reader, host_next_row(reader), ahead->values, ahead->isnull);
		tuplestore_putvalues(ahead->rows, ahead->row->tts_tupleDescriptor, ahead->values, ahead->isnull);
		MemoryContextSwitchTo(previous);
		MemoryContextReset(ahead->one_row);
	}
}

/*
 * keep_batch does so. An error ends the requests that are under way: the memory
 * of the scan may live on for long, and its end is all that would end them.
 */
static void
keep_batch(HostAhead *ahead)
{
	PG_TRY();
	{
		keep_rows(ahead);
	}
	PG_CATCH();
	{
		host_stop_reading(ahead->reader);
		PG_RE_THROW();
	}
	PG_END_TRY();
}

/* read_ahead reads up to a batch that comes when no request is under way, or the end, and keeps those before it. */
static void
read_ahead(HostAhead *ahead)
{
	while (host_next_batch(ahead->reader) && host_is_busy())
		keep_batch(ahead);
}

/* make_whole makes one tuple of the values in the slot, whose system columns are those that a kept row has. */
static void
make_whole(TupleTableSlot *slot)
{
	MemoryContext previous = MemoryContextSwitchTo(slot->tts_mcxt);
	HeapTuple	tuple = heap_form_tuple(slot->tts_tupleDescriptor, slot->tts_values, slot->tts_isnull);

	HeapTupleHeaderSetXmin(tuple->t_data, InvalidTransactionId);
	HeapTupleHeaderSetXmax(tuple->t_data, InvalidTransactionId);
	HeapTupleHeaderSetCmin(tuple->t_data, InvalidTransactionId);
	ExecForceStoreHeapTuple(tuple, slot, true);
	MemoryContextSwitchTo(previous);
}

/* next_given puts the next row of a batch that came when no request was under way into the slot, if there is one. */
static bool
next_given(HostAhead *ahead, TupleTableSlot *slot)
{
	HostReader *reader = ahead->reader;

	if (!reader->batch || reader->next >= PyList_GET_SIZE(reader->batch))
		return false;
	host_fill_row(reader, host_next_row(reader), slot->tts_values, slot->tts_isnull);
	ExecStoreVirtualTuple(slot);
	if (ahead->is_whole)
		make_whole(slot);
	return true;
}

/* next_kept puts the next row that was kept into the slot, if there is one. */
static bool
next_kept(HostAhead *ahead, TupleTableSlot *slot)
{
	/* One from the file is allocated, and must live as long as the slot. */
	MemoryContext previous = MemoryContextSwitchTo(ahead->row->tts_mcxt);
	bool		found = tuplestore_gettupleslot(ahead->rows, true, false, ahead->row);

	/* As a whole, so that only columns that are looked at are taken apart, and what stores rows need not build them. */
	MemoryContextSwitchTo(slot->tts_mcxt);
	if (found)
		ExecForceStoreHeapTuple(ExecCopySlotHeapTuple(ahead->row), slot, true);
	MemoryContextSwitchTo(previous);
	return found;
}

/* host_next_ahead puts the next row into the slot, where it stays until the next call. It returns false at the end. */
bool
host_next_ahead(HostAhead *ahead, TupleTableSlot *slot)
{
	while (!next_given(ahead, slot) && !next_kept(ahead, slot))
	{
		host_forget_ahead(ahead);
		if (ahead->reader->exhausted)
			return false;
		read_ahead(ahead);
	}
	return true;
}

/* host_forget_ahead drops the rows that PostgreSQL has not got. */
void
host_forget_ahead(HostAhead *ahead)
{
	ExecClearTuple(ahead->row);
	if (tuplestore_in_memory(ahead->rows))
		tuplestore_clear(ahead->rows);
	else
	{
		/* One with a file counts what was read from it as its memory, on PostgreSQL 15 even after it is cleared. */
		tuplestore_end(ahead->rows);
		ahead->rows = new_store(ahead);
	}
}

/* host_end_ahead gives the temporary file back, which an error does by itself. */
void
host_end_ahead(HostAhead *ahead)
{
	ExecClearTuple(ahead->row);
	tuplestore_end(ahead->rows);
}
