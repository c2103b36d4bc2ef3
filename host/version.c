/*
 * version.c
 *    Whether the SQL objects of a database are of the library's version.
 *
 * A new package brings a new library to every database of the server at once,
 * while the SQL objects change database by database.
 */
#include "host.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_extension.h"
#include "commands/extension.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"

#define EXTENSION_NAME "cio_fdw"
#define VERSION_PARTS 3

/* installed_version returns the version of the extension in this database, or NULL when there is none. */
static char *
installed_version(void)
{
	Relation	relation = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	char	   *version = NULL;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ,
				CStringGetDatum(EXTENSION_NAME));
	scan = systable_beginscan(relation, ExtensionNameIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		bool		isnull;
		Datum		datum = heap_getattr(tuple, Anum_pg_extension_extversion, RelationGetDescr(relation), &isnull);

		if (!isnull)
			version = TextDatumGetCString(datum);
	}
	systable_endscan(scan);
	table_close(relation, AccessShareLock);
	return version;
}

/* is_older tells whether version a comes before b; both are numbers with points between. */
static bool
is_older(const char *a, const char *b)
{
	int			parts_a[VERSION_PARTS] = {0};
	int			parts_b[VERSION_PARTS] = {0};

	(void) sscanf(a, "%d.%d.%d", &parts_a[0], &parts_a[1], &parts_a[2]);
	(void) sscanf(b, "%d.%d.%d", &parts_b[0], &parts_b[1], &parts_b[2]);
	for (int i = 0; i < VERSION_PARTS; i++)
		if (parts_a[i] != parts_b[i])
			return parts_a[i] < parts_b[i];
	return false;
}

/*
 * host_check_version warns, once in a session, when the database has SQL
 * objects of another version than the library, and says what to run. Not while
 * a script of an extension runs: that may be the very update.
 */
void
host_check_version(void)
{
	static bool is_checked = false;
	char	   *installed;

	if (is_checked || creating_extension)
		return;
	is_checked = true;
	installed = installed_version();
	if (!installed || strcmp(installed, CIO_VERSION) == 0)
		return;
	if (is_older(installed, CIO_VERSION))
		ereport(WARNING,
				(errmsg("cio_fdw: this database has version %s of the extension, the server's library is %s",
						installed, CIO_VERSION),
				 errhint("ALTER EXTENSION " EXTENSION_NAME " UPDATE;")));
	else
		ereport(WARNING,
				(errmsg("cio_fdw: this database has version %s of the extension, the server's library is only %s",
						installed, CIO_VERSION),
				 errhint("Install the package cio_fdw %s into the server; where the library is preloaded, restart the server.",
						 installed)));
}
