#ifndef C_LEVELDB_H
#define C_LEVELDB_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Reads LevelDB databases without changing anything on disk: what LevelDB writes when it opens one (its lock, its log,
   a new manifest, the tables of a recovery) stays in memory, and it never compacts. A database may be read by several
   threads, a cursor by one at a time. Faults come back as text. */

/* The size of every `message` buffer. */
#define CLEVELDB_MESSAGE 512

typedef struct cleveldb_database cleveldb_database;
typedef struct cleveldb_cursor cleveldb_cursor;

typedef struct {
  const char *bytes;
  size_t count;
} cleveldb_bytes;

/* NULL on a fault. */
cleveldb_database *cleveldb_open(const char *folder, char *message);
void cleveldb_close(cleveldb_database *database);

/* A cursor before the first record; its database must outlive it. */
cleveldb_cursor *cleveldb_make_cursor(cleveldb_database *database);
void cleveldb_free_cursor(cleveldb_cursor *cursor);

/* Move; 1 when there is a record, 0 after the last one, -1 on a fault. */
int cleveldb_first(cleveldb_cursor *cursor, char *message);
int cleveldb_next(cleveldb_cursor *cursor, char *message);
/* To the record with this key, or the first one after it. */
int cleveldb_seek(cleveldb_cursor *cursor, const void *key, size_t count, char *message);

/* Of the record that the cursor is at; valid until it moves. */
cleveldb_bytes cleveldb_key(const cleveldb_cursor *cursor);
cleveldb_bytes cleveldb_value(const cleveldb_cursor *cursor);

#ifdef __cplusplus
}
#endif

#endif
