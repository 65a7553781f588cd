# Targets of the guide that exist so far, as their npm scripts. The ones for SpiceDB (spicedb-schema-upload,
# spicedb-validate) come with its schema.
.PHONY: quickstart test check build bench

quickstart test check build bench:
	npm run $@
