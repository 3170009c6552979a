#ifndef C_LEVELDB_READ_ONLY_FILES_H
#define C_LEVELDB_READ_ONLY_FILES_H

#include <leveldb/env.h>

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

/* The files of a database as LevelDB sees them: those on disk, and over them those that it writes, which are kept in
   memory. Nothing on disk is made, changed, locked or removed. */
class ReadOnlyFiles : public leveldb::EnvWrapper {
 public:
  ReadOnlyFiles();
  ~ReadOnlyFiles() override;

  /* Lets background work begin, so that the database's destructor, which waits for it, comes to its end. By then the
     database is shutting down and does nothing of it. */
  void release();

  leveldb::Status NewSequentialFile(const std::string &name, leveldb::SequentialFile **file) override;
  leveldb::Status NewRandomAccessFile(const std::string &name, leveldb::RandomAccessFile **file) override;
  leveldb::Status NewWritableFile(const std::string &name, leveldb::WritableFile **file) override;
  leveldb::Status NewAppendableFile(const std::string &name, leveldb::WritableFile **file) override;
  bool FileExists(const std::string &name) override;
  leveldb::Status GetChildren(const std::string &folder, std::vector<std::string> *names) override;
  leveldb::Status RemoveFile(const std::string &name) override;
  leveldb::Status CreateDir(const std::string &name) override;
  leveldb::Status RemoveDir(const std::string &name) override;
  leveldb::Status GetFileSize(const std::string &name, uint64_t *size) override;
  leveldb::Status RenameFile(const std::string &from, const std::string &to) override;
  leveldb::Status LockFile(const std::string &name, leveldb::FileLock **lock) override;
  leveldb::Status UnlockFile(leveldb::FileLock *lock) override;
  leveldb::Status NewLogger(const std::string &name, leveldb::Logger **logger) override;
  void Schedule(void (*function)(void *), void *argument) override;

 private:
  std::unique_ptr<leveldb::Env> memory;
  std::mutex mutex;
  bool is_released = false;
  std::vector<std::function<void()>> held;

  void start(std::function<void()> work);
};

#endif
