// SPDX-License-Identifier: Apache-2.0
#include <arpa/inet.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "native/daemon/http_target.h"
#include "native/daemon/tls.h"
#include "native/platform/files.h"
#include "native/platform/paths.h"

namespace lamina::daemon {

namespace {

constexpr long kDay = 24 * 60 * 60;
constexpr long kValidDays = 397;  // what browsers take at most
constexpr long kRenewDays = 7;

template <auto kFree>
struct Freed {
  template <typename T>
  void operator()(T* object) const {
    kFree(object);
  }
};
using Key = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Freed<X509_free>>;
using Extension = std::unique_ptr<X509_EXTENSION, Freed<X509_EXTENSION_free>>;
using Bio = std::unique_ptr<BIO, Freed<BIO_free_all>>;

Error openssl_error(const char* what) {
  return make_error(Code::kIo, "make a certificate: %s failed", what);
}

bool is_address(const std::string& host) {
  unsigned char bytes[16];
  return inet_pton(AF_INET, host.c_str(), bytes) == 1 ||
         inet_pton(AF_INET6, host.c_str(), bytes) == 1;
}

bool is_wildcard(const std::string& host) {
  return host.empty() || host == "0.0.0.0" || host == "::";
}

// What the certificate must name, addresses among it. Names that no certificate can hold are left
// out.
std::vector<std::string> subject_names(const std::string& host) {
  std::vector<std::string> names = {"localhost", "127.0.0.1", "::1"};
  auto add = [&](std::string name) {
    if (name.starts_with('[') && name.ends_with(']')) name = name.substr(1, name.size() - 2);
    bool good = is_address(name) || parse_host(name).has_value();
    if (good && !is_wildcard(name) && std::find(names.begin(), names.end(), name) == names.end()) {
      names.push_back(std::move(name));
    }
  };
  char machine[256] = {};
  if (::gethostname(machine, sizeof machine - 1) == 0) add(ascii_lower(machine));
  add(ascii_lower(host));
  return names;
}

bool names_it(X509* certificate, const std::string& name) {
  if (is_address(name)) return X509_check_ip_asc(certificate, name.c_str(), 0) == 1;
  return X509_check_host(certificate, name.c_str(), name.size(), 0, nullptr) == 1;
}

bool add_extension(X509* certificate, int kind, const std::string& value) {
  Extension extension(X509V3_EXT_conf_nid(nullptr, nullptr, kind, value.c_str()));
  return extension && X509_add_ext(certificate, extension.get(), -1) == 1;
}

bool set_serial(X509* certificate) {
  unsigned char bytes[16];
  if (RAND_bytes(bytes, sizeof bytes) != 1) return false;
  bytes[0] &= 0x7f;
  BIGNUM* number = BN_bin2bn(bytes, sizeof bytes, nullptr);
  bool set = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate));
  BN_free(number);
  return set;
}

bool set_subject(X509* certificate) {
  X509_NAME* name = X509_get_subject_name(certificate);
  const auto* text = reinterpret_cast<const unsigned char*>("Lamina on this machine");
  return X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, text, -1, -1, 0) == 1 &&
         X509_set_issuer_name(certificate, name) == 1;
}

bool set_extensions(X509* certificate, const std::vector<std::string>& names) {
  std::string all;
  for (const std::string& name : names) {
    all += (all.empty() ? "" : ",") + std::string(is_address(name) ? "IP:" : "DNS:") + name;
  }
  return add_extension(certificate, NID_subject_alt_name, all) &&
         add_extension(certificate, NID_basic_constraints, "critical,CA:FALSE") &&
         add_extension(certificate, NID_key_usage, "critical,digitalSignature") &&
         add_extension(certificate, NID_ext_key_usage, "serverAuth");
}

Result<Certificate> make_certificate(EVP_PKEY* key, const std::vector<std::string>& names) {
  Certificate certificate(X509_new());
  if (!certificate) return openssl_error("memory");
  X509* raw = certificate.get();
  bool built = X509_set_version(raw, X509_VERSION_3) == 1 && set_serial(raw) &&
               X509_gmtime_adj(X509_getm_notBefore(raw), -kDay) &&  // clocks differ
               X509_gmtime_adj(X509_getm_notAfter(raw), kValidDays * kDay - kDay) &&
               set_subject(raw) && X509_set_pubkey(raw, key) == 1 && set_extensions(raw, names);
  if (!built) return openssl_error("its fields");
  if (X509_sign(raw, key, EVP_sha256()) == 0) return openssl_error("signing");
  return certificate;
}

Result<std::string> pem_text(X509* certificate, EVP_PKEY* key) {
  Bio out(BIO_new(BIO_s_mem()));
  if (!out || PEM_write_bio_X509(out.get(), certificate) != 1 ||
      PEM_write_bio_PrivateKey(out.get(), key, nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    return openssl_error("writing PEM");
  }
  char* bytes = nullptr;
  long size = BIO_get_mem_data(out.get(), &bytes);
  return std::string(bytes, static_cast<size_t>(size));
}

std::string fingerprint(X509* certificate) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  X509_digest(certificate, EVP_sha256(), digest, &size);
  std::string out;
  for (unsigned int i = 0; i < size; ++i) {
    char text[4];
    std::snprintf(text, sizeof text, i == 0 ? "%02X" : ":%02X", digest[i]);
    out += text;
  }
  return out;
}

// The certificate in the file, unless it is missing, readable by others, soon over or for other
// names.
Certificate usable(const std::string& path, const std::vector<std::string>& names) {
  struct stat facts {};
  if (::stat(path.c_str(), &facts) != 0 || (facts.st_mode & 077) != 0) return nullptr;
  auto text = read_file(path, 64 << 10);
  if (!text) return nullptr;
  Bio in(BIO_new_mem_buf(text->data(), static_cast<int>(text->size())));
  Certificate certificate(PEM_read_bio_X509(in.get(), nullptr, nullptr, nullptr));
  Key key(PEM_read_bio_PrivateKey(in.get(), nullptr, nullptr, nullptr));
  if (!certificate || !key || X509_check_private_key(certificate.get(), key.get()) != 1)
    return nullptr;
  int days = 0, seconds = 0;
  if (ASN1_TIME_diff(&days, &seconds, nullptr, X509_get0_notAfter(certificate.get())) != 1) {
    return nullptr;
  }
  if (days < kRenewDays) return nullptr;
  for (const std::string& name : names) {
    if (!names_it(certificate.get(), name)) return nullptr;
  }
  return certificate;
}

}  // namespace

Result<OwnCertificate> self_signed_certificate(const std::string& host,
                                               const std::string& given_directory) {
  std::string directory = given_directory.empty() ? config_directory() : given_directory;
  OwnCertificate out;
  out.path = join_path(directory, "tls.pem");
  std::vector<std::string> names = subject_names(host);
  Certificate certificate = usable(out.path, names);
  if (!certificate) {
    Key key(EVP_EC_gen("P-256"));
    if (!key) return openssl_error("a P-256 key");
    LAMINA_ASSIGN(certificate, make_certificate(key.get(), names));
    LAMINA_ASSIGN(std::string pem, pem_text(certificate.get(), key.get()));
    LAMINA_TRY(make_directories(directory));
    LAMINA_TRY(write_file_atomic(out.path, pem, 0600));
  }
  out.fingerprint = fingerprint(certificate.get());
  return out;
}

}  // namespace lamina::daemon
