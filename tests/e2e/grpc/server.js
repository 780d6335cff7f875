// A gRPC server that is restarted as it should be. Without protobuf: messages are bytes. Argument: address:port. After SIGTERM it takes no new
// connections, tells clients to go (GOAWAY), answers what it has, and ends. Second argument: the folder with npm's packages.
const grpc = require(`${process.argv[3]}/@grpc/grpc-js`);

const bytes = (message) => message;
const unary = { path: '/test.Echo/Unary', requestStream: false, responseStream: false, requestSerialize: bytes, requestDeserialize: bytes, responseSerialize: bytes, responseDeserialize: bytes };
const server = new grpc.Server();
server.addService({ Unary: unary }, { Unary: (call, done) => setTimeout(() => done(null, Buffer.concat([Buffer.from('got '), call.request])), 2) });
server.bindAsync(process.argv[2], grpc.ServerCredentials.createInsecure(), (error) => {
  if (error) throw error;
});
process.on('SIGTERM', () => server.tryShutdown(() => process.exit(0)));
