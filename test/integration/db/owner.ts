/** Starts the embedded PostgreSQL below argv[2], as the user of argv[3] when there is one, and says what became of it. */
const [dataDir, uid] = process.argv.slice(2);
if (uid) {
  process.setgroups?.([]);
  process.setgid?.(Number(uid));
  process.setuid?.(Number(uid));
}
// Only now: modules are read as the user that runs them, too.
const { startEmbedded } = await import("../../../db/embedded.ts");
try {
  const database = await startEmbedded(dataDir as string, { settings: { fsync: "off" } });
  console.log(`started ${database.pid()} ${database.url}`);
  process.stdin.on("data", () => {
    database.stop().then(() => process.exit(0));
  });
} catch (error) {
  console.log(`refused ${(error as { code?: string }).code} ${(error as Error).message}`);
}
