#include "CProtobufText.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/dynamic_message.h>
#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/text_format.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace pb = google::protobuf;

struct ProtobufTextSchema {
  pb::DescriptorPool pool;
  pb::DynamicMessageFactory factory{&pool};
};

namespace {

struct Position {
  int32_t line;
  int32_t column;
};

// A path lies in the result's string of all paths, which moves while it grows.
struct Place {
  size_t path_start;
  size_t path_count;
  Position position;
};

struct Fault {
  ProtobufTextFaultKind kind;
  std::string text;
  Position position;
};

struct Token {
  ProtobufTextTokenKind kind;
  std::string text;
  Position position;
};

}  // namespace

struct ProtobufTextResult {
  bool has_wire = false;
  std::string wire;
  std::string paths;
  std::vector<Place> places;
  std::vector<Fault> faults;
  std::vector<Token> tokens;
};

namespace {

constexpr int kPlacesOfRepeatedNumber = 256;

// libprotobuf counts bytes from 0 and lets a tab reach to the next multiple of 8; editors count characters from 1.
class Lines {
 public:
  Lines(const char *text, size_t count) {
    const char *end = text + count;
    for (const char *start = text; start <= end;) {
      const char *newline = static_cast<const char *>(std::memchr(start, '\n', end - start));
      const char *stop = newline ? newline : end;
      lines_.push_back({start, stop});
      start = stop + 1;
    }
  }

  Position PositionOf(int line, int column) const {
    if (line < 0 || static_cast<size_t>(line) >= lines_.size()) return {line + 1, column + 1};
    int reached = 0;
    int characters = 0;
    const auto [start, stop] = lines_[line];
    for (const char *c = start; c < stop && reached < column; ++c) {
      reached += *c == '\t' ? 8 - reached % 8 : 1;
      const bool continues = (static_cast<unsigned char>(*c) & 0xC0) == 0x80;
      if (!continues) ++characters;
    }
    return {line + 1, characters + 1};
  }

 private:
  std::vector<std::pair<const char *, const char *>> lines_;
};

class FaultCollector : public pb::io::ErrorCollector {
 public:
  FaultCollector(const Lines &lines, std::vector<Fault> *faults) : lines_(lines), faults_(faults) {}

  void AddError(int line, int column, const std::string &message) override {
    faults_->push_back({PROTOBUF_TEXT_NOT_WELL_FORMED, message, lines_.PositionOf(line, column)});
  }

  void AddWarning(int, int, const std::string &) override {}

 private:
  const Lines &lines_;
  std::vector<Fault> *faults_;
};

class NoErrors : public pb::io::ErrorCollector {
 public:
  void AddError(int, int, const std::string &) override {}
};

ProtobufTextTokenKind KindOf(pb::io::Tokenizer::TokenType type) {
  switch (type) {
    case pb::io::Tokenizer::TYPE_IDENTIFIER:
      return PROTOBUF_TEXT_IDENTIFIER;
    case pb::io::Tokenizer::TYPE_INTEGER:
      return PROTOBUF_TEXT_INTEGER;
    case pb::io::Tokenizer::TYPE_FLOAT:
      return PROTOBUF_TEXT_FLOAT;
    case pb::io::Tokenizer::TYPE_STRING:
      return PROTOBUF_TEXT_STRING;
    default:
      return PROTOBUF_TEXT_SYMBOL;
  }
}

// With the tokenizer set as TextFormat::Parser sets it.
void Tokenize(const char *text, size_t count, const Lines &lines, std::vector<Token> *tokens) {
  pb::io::ArrayInputStream input(text, static_cast<int>(count));
  NoErrors ignored;
  pb::io::Tokenizer tokenizer(&input, &ignored);
  tokenizer.set_allow_f_after_float(true);
  tokenizer.set_comment_style(pb::io::Tokenizer::SH_COMMENT_STYLE);
  while (tokenizer.Next()) {
    const auto &token = tokenizer.current();
    tokens->push_back({KindOf(token.type), token.text, lines.PositionOf(token.line, token.column)});
  }
  const auto &end = tokenizer.current();
  tokens->push_back({PROTOBUF_TEXT_END, "", lines.PositionOf(end.line, end.column)});
}

class PlaceCollector {
 public:
  PlaceCollector(const Lines &lines, ProtobufTextResult *result) : lines_(lines), result_(result) {}

  void Collect(const pb::Message &message, const pb::TextFormat::ParseInfoTree &tree, const std::string &prefix) {
    std::vector<const pb::FieldDescriptor *> fields;
    message.GetReflection()->ListFields(message, &fields);
    for (const auto *field : fields) {
      if (field->is_repeated()) {
        CollectRepeated(message, tree, *field, prefix + field->name());
      } else {
        const std::string path = prefix + field->name();
        Add(path, tree.GetLocation(field, -1));
        if (field->cpp_type() == pb::FieldDescriptor::CPPTYPE_MESSAGE) {
          Descend(message.GetReflection()->GetMessage(message, field), tree.GetTreeForNested(field, -1), path);
        }
      }
    }
  }

 private:
  void CollectRepeated(const pb::Message &message, const pb::TextFormat::ParseInfoTree &tree,
                       const pb::FieldDescriptor &field, const std::string &path) {
    const bool is_message = field.cpp_type() == pb::FieldDescriptor::CPPTYPE_MESSAGE;
    const int size = message.GetReflection()->FieldSize(message, &field);
    const int count = is_message ? size : std::min(size, kPlacesOfRepeatedNumber);
    pb::TextFormat::ParseLocation location;
    for (int i = 0; i < count; ++i) {
      // A list in brackets has one place for all its values.
      const auto own = tree.GetLocation(&field, i);
      if (own.line >= 0) location = own;
      const std::string element = path + "[" + std::to_string(i) + "]";
      Add(element, location);
      if (is_message) {
        Descend(message.GetReflection()->GetRepeatedMessage(message, &field, i), tree.GetTreeForNested(&field, i),
                element);
      }
    }
  }

  void Descend(const pb::Message &message, const pb::TextFormat::ParseInfoTree *tree, const std::string &path) {
    if (tree) Collect(message, *tree, path + ".");
  }

  void Add(const std::string &path, pb::TextFormat::ParseLocation location) {
    if (location.line < 0) return;
    result_->places.push_back(
        {result_->paths.size(), path.size(), lines_.PositionOf(location.line, location.column)});
    result_->paths += path;
  }

  const Lines &lines_;
  ProtobufTextResult *result_;
};

}  // namespace

ProtobufTextSchema *protobuf_text_schema_create(const uint8_t *descriptor_set, size_t count) {
  pb::FileDescriptorSet files;
  if (count > std::numeric_limits<int>::max() || !files.ParseFromArray(descriptor_set, static_cast<int>(count))) {
    return nullptr;
  }
  auto schema = std::make_unique<ProtobufTextSchema>();
  for (const auto &file : files.file()) {
    if (!schema->pool.BuildFile(file)) return nullptr;
  }
  return schema.release();
}

void protobuf_text_schema_destroy(ProtobufTextSchema *schema) { delete schema; }

ProtobufTextResult *protobuf_text_parse(ProtobufTextSchema *schema, const char *type, const char *text, size_t count) {
  const auto *descriptor = schema->pool.FindMessageTypeByName(type);
  if (!descriptor || count > std::numeric_limits<int32_t>::max()) return nullptr;

  auto result = std::make_unique<ProtobufTextResult>();
  const Lines lines(text, count);
  FaultCollector faults(lines, &result->faults);
  pb::TextFormat::ParseInfoTree tree;
  pb::TextFormat::Parser parser;
  parser.RecordErrorsTo(&faults);
  parser.WriteLocationsTo(&tree);
  parser.AllowPartialMessage(true);

  std::unique_ptr<pb::Message> message(schema->factory.GetPrototype(descriptor)->New());
  pb::io::ArrayInputStream input(text, static_cast<int>(count));
  if (!parser.Parse(&input, message.get())) {
    Tokenize(text, count, lines, &result->tokens);
    return result.release();
  }

  PlaceCollector(lines, result.get()).Collect(*message, tree, "");
  std::vector<std::string> missing;
  message->FindInitializationErrors(&missing);
  for (auto &path : missing) {
    result->faults.push_back({PROTOBUF_TEXT_MISSING_REQUIRED, std::move(path), {0, 0}});
  }
  result->has_wire = missing.empty() && message->SerializePartialToString(&result->wire);
  return result.release();
}

void protobuf_text_result_destroy(ProtobufTextResult *result) { delete result; }

ProtobufTextSpan protobuf_text_wire(const ProtobufTextResult *result) {
  if (!result->has_wire) return {nullptr, 0};
  return {result->wire.data(), result->wire.size()};
}

size_t protobuf_text_place_count(const ProtobufTextResult *result) { return result->places.size(); }

ProtobufTextPlace protobuf_text_place(const ProtobufTextResult *result, size_t index) {
  const auto &place = result->places[index];
  return {{result->paths.data() + place.path_start, place.path_count}, place.position.line, place.position.column};
}

size_t protobuf_text_fault_count(const ProtobufTextResult *result) { return result->faults.size(); }

ProtobufTextFault protobuf_text_fault(const ProtobufTextResult *result, size_t index) {
  const auto &fault = result->faults[index];
  return {fault.kind, {fault.text.data(), fault.text.size()}, fault.position.line, fault.position.column};
}

size_t protobuf_text_token_count(const ProtobufTextResult *result) { return result->tokens.size(); }

ProtobufTextToken protobuf_text_token(const ProtobufTextResult *result, size_t index) {
  const auto &token = result->tokens[index];
  return {token.kind, {token.text.data(), token.text.size()}, token.position.line, token.position.column};
}
