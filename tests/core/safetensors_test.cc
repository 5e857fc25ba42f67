// SPDX-License-Identifier: Apache-2.0
#include "core/model/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lamina {
namespace {

using testing::HasSubstr;

std::string file_of(const std::string& header, size_t data_bytes, uint64_t length) {
  std::string text;
  for (int i = 0; i < 8; ++i) text += static_cast<char>(length >> (8 * i));
  return text + header + std::string(data_bytes, 'x');
}

std::string file_of(const std::string& header, size_t data_bytes) {
  return file_of(header, data_bytes, header.size());
}

Result<SafetensorsFile> read(const std::string& text) {
  return SafetensorsFile::read(MemoryByteSource("m.safetensors", std::as_bytes(std::span(text))));
}

std::string refused(const std::string& text) {
  const auto file = read(text);
  EXPECT_FALSE(file) << text;
  if (file) return "";
  EXPECT_EQ(file.error().code, Code::kInvalidModel) << file.error().message;
  EXPECT_THAT(file.error().message, HasSubstr("m.safetensors"));
  return file.error().message;
}

std::string tensor(const std::string& name, const std::string& dtype, const std::string& shape,
                   const std::string& offsets) {
  return "\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape +
         ",\"data_offsets\":" + offsets + "}";
}

TEST(Safetensors, ReadsEntriesInAnyOrder) {
  const std::string header =
      "{\"__metadata__\":{\"format\":\"pt\"}," + tensor("b", "F16", "[2,3]", "[8,20]") + "," +
      tensor("a", "F32", "[2]", "[0,8]") + "," + tensor("c", "I64", "[]", "[20,28]") + "," +
      tensor("e", "BF16", "[0,4]", "[28,28]") + "}  ";
  const auto file = read(file_of(header, 28));
  ASSERT_TRUE(file) << file.error().message;
  ASSERT_EQ(file->entries().size(), 4u);
  const SafetensorsEntry* b = file->find("b");
  ASSERT_NE(b, nullptr);
  EXPECT_EQ(b->dtype, DType::kF16);
  EXPECT_EQ(b->shape, (std::vector<uint64_t>{2, 3}));
  EXPECT_EQ(b->offset, 8 + header.size() + 8);
  EXPECT_EQ(b->bytes, 12u);
  EXPECT_FALSE(file->find("c")->dtype) << "known, but no weights";
  EXPECT_EQ(file->find("c")->dtype_text, "I64");
  EXPECT_EQ(file->find("d"), nullptr);
}

TEST(Safetensors, RefusesBadHeaderLengths) {
  const std::string header = "{" + tensor("a", "F32", "[2]", "[0,8]") + "}";
  ASSERT_TRUE(read(file_of(header, 8)));
  EXPECT_THAT(refused(""), HasSubstr("too few"));
  EXPECT_THAT(refused("1234567"), HasSubstr("too few"));
  EXPECT_THAT(refused(file_of(header, 8, header.size() + 9)), HasSubstr("header length"));
  EXPECT_THAT(refused(file_of(header, 8, UINT64_MAX)), HasSubstr("18446744073709551615"));
  EXPECT_THAT(refused(file_of(header, 8, uint64_t{1} << 63)), HasSubstr("header length"));
  EXPECT_THAT(refused(file_of(header, 8, UINT64_MAX - 7)), HasSubstr("header length"));
  EXPECT_THAT(refused(file_of(header, 8, 0)), HasSubstr("header length"));
  EXPECT_THAT(refused(file_of(" " + header, 8)), HasSubstr("'{'"));
  EXPECT_THAT(refused(file_of("[]", 0)), HasSubstr("'{'"));
  EXPECT_THAT(refused(file_of("{]", 0)), HasSubstr("JSON"));
}

TEST(Safetensors, HeaderCapIsAHundredMegabytes) {
  // A source that says it is huge; nothing of that size may be allocated.
  class Huge final : public ByteSource {
   public:
    const std::string& name() const override { return name_; }
    uint64_t size() const override { return uint64_t{1} << 40; }
    Result<void> read(uint64_t, std::span<std::byte> out) const override {
      EXPECT_EQ(out.size(), 8u);
      const uint64_t length = 100'000'001;
      std::memcpy(out.data(), &length, 8);
      return {};
    }

   private:
    std::string name_ = "huge";
  };
  const auto file = SafetensorsFile::read(Huge());
  ASSERT_FALSE(file);
  EXPECT_THAT(file.error().message, HasSubstr("100 MB"));
}

TEST(Safetensors, RefusesBadLayouts) {
  const auto two = [](const std::string& a, const std::string& b, size_t bytes) {
    return file_of("{" + tensor("a", "F32", "[2]", a) + "," + tensor("b", "F32", "[2]", b) + "}",
                   bytes);
  };
  ASSERT_TRUE(read(two("[0,8]", "[8,16]", 16)));
  EXPECT_THAT(refused(two("[0,8]", "[4,12]", 12)), HasSubstr("inside the tensor before"));
  EXPECT_THAT(refused(two("[0,8]", "[0,8]", 8)), HasSubstr("inside the tensor before"));
  EXPECT_THAT(refused(two("[0,8]", "[12,20]", 20)), HasSubstr("gap"));
  EXPECT_THAT(refused(two("[4,12]", "[12,20]", 20)), HasSubstr("gap"));
  EXPECT_THAT(refused(two("[0,8]", "[8,16]", 17)), HasSubstr("end at byte 16 of 17"));
  EXPECT_THAT(refused(two("[0,8]", "[8,16]", 15)), HasSubstr("data_offsets"));
  EXPECT_THAT(refused("{}"), HasSubstr("too few"));
  EXPECT_THAT(refused(file_of("{}", 1)), HasSubstr("end at byte 0 of 1"));
}

TEST(Safetensors, RefusesBadEntries) {
  const auto one = [](const std::string& t, size_t bytes = 8) {
    return file_of("{" + t + "}", bytes);
  };
  EXPECT_THAT(refused(one(tensor("a", "F32", "[2]", "[0,4]"))), HasSubstr("need 8"));
  EXPECT_THAT(refused(one(tensor("a", "F16", "[2]", "[0,8]"))), HasSubstr("need 4"));
  EXPECT_THAT(refused(one(tensor("a", "F31", "[2]", "[0,8]"))), HasSubstr("dtype"));
  EXPECT_THAT(refused(one(tensor("a", "F32", "[-2]", "[0,8]"))), HasSubstr("shape[0]"));
  EXPECT_THAT(refused(one(tensor("a", "F32", "[2.0]", "[0,8]"))), HasSubstr("shape[0]"));
  EXPECT_THAT(refused(one(tensor("a", "F32", "2", "[0,8]"))), HasSubstr("shape"));
  EXPECT_THAT(refused(one(tensor("a", "F32", "[4294967296,4294967296]", "[0,8]"))),
              HasSubstr("overflow"));
  EXPECT_THAT(refused(one(tensor("a", "F32", "[281474976710656,32768]", "[0,8]"))),
              HasSubstr("overflow"));
  EXPECT_THAT(refused(one(tensor("a", "F32", "[1,1,1,1,1,1,1,1,2]", "[0,8]"))),
              HasSubstr("dimensions"));
  EXPECT_THAT(refused(one(tensor("a", "F32", "[2]", "[8,0]"))), HasSubstr("data_offsets"));
  EXPECT_THAT(refused(one(tensor("a", "F32", "[2]", "[0,8,8]"))), HasSubstr("begin, end"));
  EXPECT_THAT(refused(one(tensor("a", "F32", "[2]", "[0,9223372036854775807]"))),
              HasSubstr("data_offsets"));
  EXPECT_THAT(refused(one(tensor("a", "F32", "[2]", "[-8,0]"))), HasSubstr("data_offsets"));
  EXPECT_THAT(refused(one("\"a\":{\"dtype\":\"F32\"}")), HasSubstr("shape"));
  EXPECT_THAT(refused(one("\"a\":7")), HasSubstr("a"));
  EXPECT_THAT(refused(one(tensor("a", "F4", "[3]", "[0,1]"))), HasSubstr("data_offsets"));
}

TEST(Safetensors, RefusesANameTwice) {
  const std::string header =
      "{" + tensor("a", "F32", "[2]", "[0,8]") + "," + tensor("a", "F32", "[2]", "[8,16]") + "}";
  EXPECT_THAT(refused(file_of(header, 16)), HasSubstr("duplicate"));
}

TEST(Safetensors, ReadsTheIndex) {
  const auto index = SafetensorsIndex::parse(
      R"({"metadata":{"total_size":7},"weight_map":{"b":"m-2.safetensors","a":"m-1.safetensors",
          "c":"m-2.safetensors"}})",
      "index");
  ASSERT_TRUE(index) << index.error().message;
  EXPECT_EQ(index->files, (std::vector<std::string>{"m-1.safetensors", "m-2.safetensors"}));
  EXPECT_EQ(index->tensors.find("c")->second, 1u);
  for (const char* bad : {"../x.safetensors", "/x.safetensors", "a/b.safetensors", ".x.safetensors",
                          "x.bin", ".safetensors", "a\\\\b.safetensors", "a\\u0000b.safetensors"}) {
    const auto refused_index =
        SafetensorsIndex::parse(std::string(R"({"weight_map":{"a":")") + bad + "\"}}", "index");
    ASSERT_FALSE(refused_index) << bad;
    EXPECT_THAT(refused_index.error().message, HasSubstr("weight_map.a"));
  }
  EXPECT_FALSE(SafetensorsIndex::parse(R"({"weight_map":{}})", "index"));
  EXPECT_FALSE(SafetensorsIndex::parse(R"({"weight_map":{"a":3}})", "index"));
  EXPECT_FALSE(SafetensorsIndex::parse("{}", "index"));
}

}  // namespace
}  // namespace lamina
