#include "CLevelDB.h"

#include <leveldb/db.h>

#include <cstdio>

#include "ReadOnlyFiles.h"

struct cleveldb_database {
  ReadOnlyFiles files;
  std::unique_ptr<leveldb::DB> database;
};

struct cleveldb_cursor {
  std::unique_ptr<leveldb::Iterator> iterator;
};

namespace {

void put(const leveldb::Status &status, char *message) {
  std::snprintf(message, CLEVELDB_MESSAGE, "%s", status.ToString().c_str());
}

int outcome(const cleveldb_cursor *cursor, char *message) {
  if (cursor->iterator->Valid()) return 1;
  if (cursor->iterator->status().ok()) return 0;
  put(cursor->iterator->status(), message);
  return -1;
}

cleveldb_bytes bytes(const leveldb::Slice &slice) { return {slice.data(), slice.size()}; }

}  // namespace

cleveldb_database *cleveldb_open(const char *folder, char *message) {
  auto database = std::make_unique<cleveldb_database>();
  leveldb::Options options;
  options.env = &database->files;
  options.create_if_missing = false;
  options.paranoid_checks = true;
  leveldb::DB *opened = nullptr;
  leveldb::Status status = leveldb::DB::Open(options, folder, &opened);
  if (!status.ok()) {
    put(status, message);
    return nullptr;
  }
  database->database.reset(opened);
  return database.release();
}

void cleveldb_close(cleveldb_database *database) {
  database->files.release();
  database->database.reset();
  delete database;
}

cleveldb_cursor *cleveldb_make_cursor(cleveldb_database *database) {
  leveldb::ReadOptions options;
  options.verify_checksums = true;
  options.fill_cache = false;
  auto *cursor = new cleveldb_cursor;
  cursor->iterator.reset(database->database->NewIterator(options));
  return cursor;
}

void cleveldb_free_cursor(cleveldb_cursor *cursor) { delete cursor; }

int cleveldb_first(cleveldb_cursor *cursor, char *message) {
  cursor->iterator->SeekToFirst();
  return outcome(cursor, message);
}

int cleveldb_next(cleveldb_cursor *cursor, char *message) {
  if (cursor->iterator->Valid()) cursor->iterator->Next();
  return outcome(cursor, message);
}

int cleveldb_seek(cleveldb_cursor *cursor, const void *key, size_t count, char *message) {
  cursor->iterator->Seek(leveldb::Slice(static_cast<const char *>(key), count));
  return outcome(cursor, message);
}

cleveldb_bytes cleveldb_key(const cleveldb_cursor *cursor) { return bytes(cursor->iterator->key()); }

cleveldb_bytes cleveldb_value(const cleveldb_cursor *cursor) { return bytes(cursor->iterator->value()); }
