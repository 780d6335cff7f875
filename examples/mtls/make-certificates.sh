#!/bin/sh
# Everything this example needs, good for 30 days: a server certificate, the partners' CA with its revocation list, and two clients,
# of which one is revoked.
set -eu
new_key="-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"

openssl req -x509 $new_key -days 30 -subj "/CN=example.com" -keyout server.key -out server.pem \
    -addext "subjectAltName=DNS:api.example.com,DNS:status.example.com"

openssl req -x509 $new_key -days 30 -subj "/O=Partners/CN=Partners CA" -keyout partners.key -out partners.pem \
    -addext "keyUsage=critical,keyCertSign,cRLSign"

cat > partners.cnf <<'END'
[ca]
default_ca = partners
[partners]
database = partners.index
serial = partners.serial
crlnumber = partners.crlnumber
new_certs_dir = .
certificate = partners.pem
private_key = partners.key
default_md = sha256
default_days = 30
default_crl_days = 30
policy = any
x509_extensions = client
crl_extensions = crl
[any]
organizationName = optional
commonName = supplied
[client]
basicConstraints = CA:FALSE
extendedKeyUsage = clientAuth
authorityKeyIdentifier = keyid
[crl]
authorityKeyIdentifier = keyid
END
: > partners.index
echo 1000 > partners.serial
echo 1000 > partners.crlnumber

for name in alice bob; do
    openssl req -new $new_key -subj "/O=Partners/CN=$name" -keyout "$name.key" -out "$name.csr"
    openssl ca -batch -notext -config partners.cnf -in "$name.csr" -out "$name.pem"
done
openssl ca -config partners.cnf -revoke bob.pem
openssl ca -config partners.cnf -gencrl -out partners.crl
