#include "ReadOnlyFiles.h"

#include <leveldb/helpers/memenv.h>

#include <algorithm>

using leveldb::Env;
using leveldb::Status;

namespace {

class NoLock : public leveldb::FileLock {};

}  // namespace

ReadOnlyFiles::ReadOnlyFiles() : EnvWrapper(Env::Default()), memory(leveldb::NewMemEnv(Env::Default())) {}

ReadOnlyFiles::~ReadOnlyFiles() = default;

Status ReadOnlyFiles::NewSequentialFile(const std::string &name, leveldb::SequentialFile **file) {
  return memory->FileExists(name) ? memory->NewSequentialFile(name, file) : target()->NewSequentialFile(name, file);
}

Status ReadOnlyFiles::NewRandomAccessFile(const std::string &name, leveldb::RandomAccessFile **file) {
  return memory->FileExists(name) ? memory->NewRandomAccessFile(name, file)
                                  : target()->NewRandomAccessFile(name, file);
}

Status ReadOnlyFiles::NewWritableFile(const std::string &name, leveldb::WritableFile **file) {
  return memory->NewWritableFile(name, file);
}

Status ReadOnlyFiles::NewAppendableFile(const std::string &name, leveldb::WritableFile **) {
  return Status::NotSupported(name, "is only read");
}

bool ReadOnlyFiles::FileExists(const std::string &name) {
  return memory->FileExists(name) || target()->FileExists(name);
}

Status ReadOnlyFiles::GetChildren(const std::string &folder, std::vector<std::string> *names) {
  std::vector<std::string> written;
  memory->GetChildren(folder, &written);
  Status status = target()->GetChildren(folder, names);
  for (const auto &name : written)
    if (std::find(names->begin(), names->end(), name) == names->end()) names->push_back(name);
  return status;
}

Status ReadOnlyFiles::RemoveFile(const std::string &name) {
  return memory->FileExists(name) ? memory->RemoveFile(name) : Status::OK();
}

Status ReadOnlyFiles::CreateDir(const std::string &) { return Status::OK(); }

Status ReadOnlyFiles::RemoveDir(const std::string &) { return Status::OK(); }

Status ReadOnlyFiles::GetFileSize(const std::string &name, uint64_t *size) {
  return memory->FileExists(name) ? memory->GetFileSize(name, size) : target()->GetFileSize(name, size);
}

Status ReadOnlyFiles::RenameFile(const std::string &from, const std::string &to) {
  return memory->FileExists(from) ? memory->RenameFile(from, to) : Status::OK();
}

Status ReadOnlyFiles::LockFile(const std::string &, leveldb::FileLock **lock) {
  *lock = new NoLock;
  return Status::OK();
}

Status ReadOnlyFiles::UnlockFile(leveldb::FileLock *lock) {
  delete lock;
  return Status::OK();
}

Status ReadOnlyFiles::NewLogger(const std::string &name, leveldb::Logger **) {
  return Status::NotSupported(name, "is not written");
}

void ReadOnlyFiles::Schedule(void (*function)(void *), void *argument) {
  start([function, argument] { function(argument); });
}

void ReadOnlyFiles::start(std::function<void()> work) {
  {
    std::lock_guard<std::mutex> lock(mutex);
    if (!is_released) {
      held.push_back(std::move(work));
      return;
    }
  }
  auto *owned = new std::function<void()>(std::move(work));
  target()->StartThread(
      [](void *argument) {
        std::unique_ptr<std::function<void()>> work(static_cast<std::function<void()> *>(argument));
        (*work)();
      },
      owned);
}

void ReadOnlyFiles::release() {
  std::vector<std::function<void()>> waiting;
  {
    std::lock_guard<std::mutex> lock(mutex);
    is_released = true;
    waiting.swap(held);
  }
  for (auto &work : waiting) start(std::move(work));
}
