# What the coordinator needs at OpenBao, and no more:
#   bao policy write airavata-scheduler deploy/openbao/policy.hcl

# A secret is written once, read, and deleted when nothing needs it.
path "credentials/data/*" {
  capabilities = ["create", "read", "delete"]
}

# Deleting in KV version 2 can be undone; deleting the metadata cannot.
path "credentials/metadata/*" {
  capabilities = ["delete"]
}

path "transit/encrypt/credentials" {
  capabilities = ["update"]
}

path "transit/decrypt/credentials" {
  capabilities = ["update"]
}
