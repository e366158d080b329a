// Certificates for tests, made on the spot: an authority, and what it signs. P-256 keys.
#pragma once

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string>

namespace stele::server {

class TestCertificate {
 public:
  // Signed by `issuer`, or by itself (an authority) without one. Valid from now until `days_valid`
  // days from now; negative: it is over.
  TestCertificate(const std::string& common_name, const TestCertificate* issuer,
                  int days_valid = 30)
      : key_(EVP_EC_gen("P-256")), certificate_(X509_new()) {
    X509* const x = certificate_;
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), ++serial_);
    X509_gmtime_adj(X509_getm_notBefore(x), days_valid < 0 ? 3 * days_valid * 86400L : -60);
    X509_gmtime_adj(X509_getm_notAfter(x), days_valid * 86400L);
    X509_set_pubkey(x, key_);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_UTF8,
                               reinterpret_cast<const unsigned char*>(common_name.c_str()), -1, -1,
                               0);
    X509* const parent = issuer == nullptr ? x : issuer->certificate_;
    X509_set_issuer_name(x, X509_get_subject_name(parent));
    AddExtension(NID_basic_constraints, issuer == nullptr ? "critical,CA:TRUE" : "CA:FALSE");
    AddExtension(NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1");
    X509_sign(x, issuer == nullptr ? key_ : issuer->key_, EVP_sha256());
  }
  ~TestCertificate() {
    X509_free(certificate_);
    EVP_PKEY_free(key_);
  }
  TestCertificate(const TestCertificate&) = delete;
  TestCertificate& operator=(const TestCertificate&) = delete;

  std::string CertificatePem() const {
    BIO* const bio = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(bio, certificate_);
    return Take(bio);
  }
  std::string KeyPem() const {
    BIO* const bio = BIO_new(BIO_s_mem());
    PEM_write_bio_PrivateKey(bio, key_, nullptr, nullptr, 0, nullptr, nullptr);
    return Take(bio);
  }

 private:
  static std::string Take(BIO* bio) {
    char* data = nullptr;
    const long length = BIO_get_mem_data(bio, &data);
    std::string text(data, static_cast<size_t>(length));
    BIO_free(bio);
    return text;
  }
  void AddExtension(int id, const char* value) {
    X509_EXTENSION* const extension = X509V3_EXT_conf_nid(nullptr, nullptr, id, value);
    X509_add_ext(certificate_, extension, -1);
    X509_EXTENSION_free(extension);
  }

  static inline long serial_ = 0;
  EVP_PKEY* key_;
  X509* certificate_;
};

}  // namespace stele::server
