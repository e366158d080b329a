#include "server/tls.h"

#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string_view>

#include "absl/strings/str_cat.h"

namespace stele::server {
namespace {

constexpr int64_t kDaySeconds = 86400;
constexpr int64_t kWarnDays = 14;

struct Free {
  void operator()(BIO* bio) const { BIO_free(bio); }
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
template <typename T>
using Owned = std::unique_ptr<T, Free>;

absl::Status Bad(const std::string& path, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("TLS file ", path, ": ", what));
}

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (!file || !(text << file.rdbuf())) {
    return Bad(path, errno != 0 ? std::strerror(errno) : "cannot be read or is empty");
  }
  return text.str();
}

Owned<BIO> Memory(const std::string& text) {
  return Owned<BIO>(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

absl::StatusOr<Owned<X509>> FirstCertificate(const std::string& path, const std::string& text) {
  Owned<X509> certificate(PEM_read_bio_X509(Memory(text).get(), nullptr, nullptr, nullptr));
  if (certificate == nullptr) return Bad(path, "holds no certificate in PEM form");
  return certificate;
}

// How the certificate's time stands: an error when it is over or has not come, a warning when it
// ends soon.
absl::Status CheckTime(const std::string& path, const X509* certificate,
                       std::vector<std::string>* warnings) {
  int days = 0;
  int seconds = 0;
  if (X509_cmp_current_time(X509_get0_notBefore(certificate)) > 0) {
    return Bad(path, "the certificate is not valid yet; check its dates and this machine's clock");
  }
  if (ASN1_TIME_diff(&days, &seconds, nullptr, X509_get0_notAfter(certificate)) != 1) {
    return Bad(path, "the certificate's dates cannot be read");
  }
  const int64_t left = days * kDaySeconds + seconds;
  if (left <= 0) return Bad(path, "the certificate has expired; get a new one");
  if (left < kWarnDays * kDaySeconds) {
    warnings->push_back(absl::StrCat("the certificate in ", path, " expires in ", days, " days"));
  }
  return absl::OkStatus();
}

int RefusePassword(char*, int, int, void*) { return 0; }

absl::Status CheckKey(const TlsFiles& files, const std::string& text, X509* certificate) {
  const Owned<EVP_PKEY> key(
      PEM_read_bio_PrivateKey(Memory(text).get(), nullptr, RefusePassword, nullptr));
  if (key == nullptr) {
    return Bad(files.key, "holds no private key in PEM form without a password");
  }
  if (X509_check_private_key(certificate, key.get()) != 1) {
    return Bad(files.key, absl::StrCat("is not the key of the certificate in ", files.cert));
  }
  return absl::OkStatus();
}

void WarnOfMode(const std::string& path, std::vector<std::string>* warnings) {
  struct stat info {};
  if (stat(path.c_str(), &info) == 0 && (info.st_mode & S_IROTH) != 0) {
    warnings->push_back(absl::StrCat("everyone on this machine may read the private key ", path,
                                     "; run chmod 600"));
  }
}

}  // namespace

absl::StatusOr<Credentials> MakeCredentials(const TlsFiles& files) {
  Credentials made;
  if (files.cert.empty()) {
    made.credentials = grpc::InsecureServerCredentials();
    return made;
  }
  absl::StatusOr<std::string> cert = ReadFile(files.cert);
  if (!cert.ok()) return cert.status();
  absl::StatusOr<std::string> key = ReadFile(files.key);
  if (!key.ok()) return key.status();
  absl::StatusOr<Owned<X509>> certificate = FirstCertificate(files.cert, *cert);
  if (!certificate.ok()) return certificate.status();
  absl::Status status = CheckTime(files.cert, certificate->get(), &made.warnings);
  if (status.ok()) status = CheckKey(files, *key, certificate->get());
  if (!status.ok()) return status;
  WarnOfMode(files.key, &made.warnings);

  if (!files.client_ca.empty()) {
    absl::StatusOr<std::string> roots = ReadFile(files.client_ca);
    if (!roots.ok()) return roots.status();
    if (absl::StatusOr<Owned<X509>> root = FirstCertificate(files.client_ca, *roots); !root.ok()) {
      return root.status();
    }
  }
  namespace tls = grpc::experimental;
  tls::TlsServerCredentialsOptions options(std::make_shared<tls::FileWatcherCertificateProvider>(
      files.key, files.cert, files.client_ca, files.refresh_seconds));
  options.watch_identity_key_cert_pairs();
  if (!files.client_ca.empty()) {
    options.watch_root_certs();
    options.set_cert_request_type(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  }
  made.credentials = tls::TlsServerCredentials(options);
  return made;
}

}  // namespace stele::server
