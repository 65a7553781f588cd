# Targets of the guide, as their npm scripts. The two for SpiceDB read the settings of the same names as the coordinator.
.PHONY: quickstart test check build bench spicedb-schema-upload spicedb-validate

quickstart test check build bench spicedb-schema-upload spicedb-validate:
	npm run $@
