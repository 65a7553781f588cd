# The policy of the deployment guide, as it stands there. It works; deleted secrets can then be undeleted at OpenBao.

# Allow read/write access to credentials
path "credentials/data/*" {
  capabilities = ["create", "read", "update", "delete", "list"]
}

# Allow encryption/decryption operations
path "transit/encrypt/credentials" {
  capabilities = ["update"]
}

path "transit/decrypt/credentials" {
  capabilities = ["update"]
}

# Allow key operations
path "transit/keys/credentials" {
  capabilities = ["read", "update"]
}
