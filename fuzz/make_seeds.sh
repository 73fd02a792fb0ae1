#!/bin/sh
# Makes the seeds anew with openssl 3. The keys in them are for tests and nothing else.
set -eu
cd "$(dirname "$0")/seeds"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

generate() { openssl genpkey -quiet -out "$work/$1.pem" -algorithm $2; }
generate rsa2048 "RSA -pkeyopt rsa_keygen_bits:2048"
generate rsa1024 "RSA -pkeyopt rsa_keygen_bits:1024"
generate p256 "EC -pkeyopt ec_paramgen_curve:P-256"
generate p384 "EC -pkeyopt ec_paramgen_curve:P-384"
generate p521 "EC -pkeyopt ec_paramgen_curve:P-521"
generate ed25519 "ED25519"
generate explicit "EC -pkeyopt ec_paramgen_curve:P-256 -pkeyopt ec_param_enc:explicit"

for key in rsa2048 rsa1024 p256 p384 p521 ed25519 explicit; do
    openssl pkcs8 -topk8 -nocrypt -in "$work/$key.pem" -outform DER -out "key/$key.pkcs8.der"
    openssl pkey -in "$work/$key.pem" -pubout -outform DER -out "key/$key.spki.der"
done

request() { name=$1 key=$2; shift 2; openssl req -new -key "$work/$key.pem" -outform DER -out "csr/$name.der" "$@"; }
for key in rsa2048 rsa1024 p256 p384 p521 ed25519; do
    request "$key" "$key" -subj "/C=DE/O=Example/CN=$key.example"
done
request pss rsa2048 -subj /CN=pss -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest
request empty_subject p256 -subj / -addext subjectAltName=DNS:a.example
request multi_valued p256 -multivalue-rdn -subj "/O=Example/CN=a+UID=b"
request names p256 -utf8 -subj "/CN=bücher" \
    -addext "subjectAltName=DNS:*.example.com,IP:192.0.2.1,IP:2001:db8::1,URI:https://example.com/,email:a@b.example,RID:1.2.3,otherName:1.3.6.1.4.1.311.20.2.3;UTF8:a@b" \
    -addext keyUsage=critical,digitalSignature -addext extendedKeyUsage=serverAuth \
    -addext basicConstraints=CA:FALSE
request sha1 rsa2048 -sha1 -subj /CN=sha1
openssl req -inform DER -in csr/p256.der -out csr/p256.pem

certificate() { name=$1 key=$2; shift 2; openssl req -x509 -key "$work/$key.pem" -days 30 -outform DER -out "certificate/$name.der" "$@"; }
for key in rsa2048 rsa1024 p256 p384 ed25519; do
    certificate "$key" "$key" -subj "/C=DE/O=Example/CN=$key.example"
done
certificate names p256 -utf8 -subj "/CN=bücher" \
    -addext "subjectAltName=DNS:*.example.com,IP:192.0.2.1,URI:https://example.com/,email:a@b.example" \
    -addext nameConstraints=permitted\;DNS:.example.com -addext certificatePolicies=1.2.3.4 \
    -addext crlDistributionPoints=URI:http://example.com/crl -addext authorityInfoAccess=OCSP\;URI:http://example.com/
openssl x509 -inform DER -in certificate/p256.der -out certificate/p256.pem
