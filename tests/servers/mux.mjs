// A front of PGlite with TimescaleDB for many PostgreSQL clients: node mux.mjs PACKAGE PORT [DIRECTORY]
//
// PGlite is one backend. This front gives it whole messages of the protocol, one client at a time: the client whose
// transaction is open keeps the engine until it ends. Prepared statements and portals get names of their own for each
// client. NOTIFY reaches the clients that listen. What COPY FROM STDIN sends is held until it is complete.
// Session state (SET, temporary tables, advisory locks) is shared by all clients.
import net from 'node:net';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const [packageDirectory, port, directory = 'memory://'] = process.argv.slice(2);
const load = (file) => import(pathToFileURL(path.join(packageDirectory, 'dist', file)).href);
const { PGlite } = await load('index.js');
const { timescaledb } = await load('timescaledb/index.js').catch(() => load('timescaledb.js'));

const db = await PGlite.create(directory, { extensions: { timescaledb } });
const known = await db.query("select 1 from pg_extension where extname = 'timescaledb'");
if (!known.rows.length) await db.exec('create extension timescaledb');
// Nothing is preloaded here: without this a database that was opened again gives wrong answers, silently.
await db.exec("load 'timescaledb'");

// -- messages: one byte of type, four bytes of length with themselves, the body --------------------------------------

function message(type, body = Buffer.alloc(0)) {
  const made = Buffer.alloc(5 + body.length);
  made.write(type, 0, 'latin1');
  made.writeInt32BE(4 + body.length, 1);
  body.copy(made, 5);
  return made;
}

const typeOf = (frame) => String.fromCharCode(frame[0]);
const text = (value) => Buffer.from(value + '\0');

function number(value) {
  const made = Buffer.alloc(4);
  made.writeInt32BE(value);
  return made;
}

function split(buffer) {
  const frames = [];
  for (let at = 0; at + 5 <= buffer.length; ) {
    const end = at + buffer.readInt32BE(at + 1) + 1;
    frames.push(buffer.subarray(at, end));
    at = end;
  }
  return frames;
}

// Return the text that ends with a zero byte and the place behind it.
function readText(buffer, at) {
  const end = buffer.indexOf(0, at);
  return [buffer.toString('utf8', at, end), end + 1];
}

const GREETING = Buffer.concat([
  message('R', number(0)),
  ...Object.entries({
    server_version: '17.5',
    server_encoding: 'UTF8',
    client_encoding: 'UTF8',
    DateStyle: 'ISO, MDY',
    IntervalStyle: 'postgres',
    TimeZone: 'UTC',
    integer_datetimes: 'on',
    standard_conforming_strings: 'on',
    is_superuser: 'on',
    in_hot_standby: 'off',
  }).map(([name, value]) => message('S', Buffer.concat([text(name), text(value)]))),
]);
const SSL_REQUEST = 80877103;
const GSS_REQUEST = 80877104;
const CANCEL_REQUEST = 80877102;

// -- who has the engine ------------------------------------------------------------------------------------------------

let owner = null;
const waiting = [];
const clients = new Set();

function acquire(client) {
  if (owner === client) return Promise.resolve();
  if (owner === null) {
    owner = client;
    return Promise.resolve();
  }
  return new Promise((resolve) => waiting.push([client, resolve]));
}

function release() {
  const next = waiting.shift();
  owner = next ? next[0] : null;
  if (next) next[1]();
}

// -- one client --------------------------------------------------------------------------------------------------------

const LISTEN = /^\s*(un)?listen\s+"?(\w+|\*)"?/i;
const COPY_IN = /^\s*copy\s[\s\S]*\sfrom\s+stdin/i;
const RESETS = /(reset|discard)\s+all/i;
let numbers = 0;

class Client {
  constructor(socket) {
    this.id = ++numbers;
    this.socket = socket;
    this.unnamed = ''; // the name that its unnamed statement has now
    this.unnamedCount = 0;
    this.channels = new Set();
    this.status = 'I'; // of its transaction: idle, open, failed
    this.work = Promise.resolve(); // what it asked for, in order
    this.received = Buffer.alloc(0);
    this.started = false;
    this.batch = [];
    this.copying = null; // the messages of a COPY FROM STDIN that is not complete
    this.greetedCopy = false; // that it may send was said already: the engine's own answer is left out
  }

  then(step) {
    this.work = this.work.then(step);
  }

  take(data) {
    this.received = this.received.length ? Buffer.concat([this.received, data]) : data;
    while (this.started ? this.takeFrame() : this.takeStart());
  }

  takeStart() {
    if (this.received.length < 8) return false;
    const length = this.received.readInt32BE(0);
    if (this.received.length < length) return false;
    const code = this.received.readInt32BE(4);
    this.received = this.received.subarray(length);
    if (code === SSL_REQUEST || code === GSS_REQUEST) return this.socket.write('N'), true;
    if (code === CANCEL_REQUEST) return this.socket.end(), false;
    this.started = true;
    const key = message('K', Buffer.concat([number(this.id), number(0)]));
    this.socket.write(Buffer.concat([GREETING, key, message('Z', Buffer.from('I'))]));
    return true;
  }

  takeFrame() {
    if (this.received.length < 5) return false;
    const length = this.received.readInt32BE(1) + 1;
    if (this.received.length < length) return false;
    const frame = this.received.subarray(0, length);
    this.received = this.received.subarray(length);
    if (typeOf(frame) === 'X') return this.socket.end(), false;
    if (this.copying) this.takeCopy(frame);
    else if (typeOf(frame) === 'Q') this.takeQuery(frame);
    else {
      this.batch.push(this.renamed(frame));
      if ('SH'.includes(typeOf(frame))) this.flush();
    }
    return true;
  }

  takeCopy(frame) {
    if ('HS'.includes(typeOf(frame))) return;
    this.copying.push(frame);
    if (!'cf'.includes(typeOf(frame))) return;
    this.batch.push(...this.copying);
    this.copying = null;
    this.then(() => { this.greetedCopy = true; });
    this.flush();
  }

  takeQuery(frame) {
    const [sql] = readText(frame, 5);
    const listens = LISTEN.exec(sql);
    if (listens) {
      const [, un, channel] = listens;
      if (!un) this.channels.add(channel);
      else if (channel === '*') this.channels.clear();
      else this.channels.delete(channel);
      if (un) { // another client may still listen: the engine goes on listening
        const done = () => Buffer.concat([message('C', text('UNLISTEN')), message('Z', Buffer.from(this.status))]);
        this.then(() => this.socket.write(done()));
        return;
      }
    }
    if (COPY_IN.test(sql)) {
      this.copying = [frame];
      const format = /binary/i.test(sql) ? 1 : 0;
      this.then(() => this.socket.write(message('G', Buffer.from([format, 0, 0]))));
      return;
    }
    this.batch.push(frame);
    this.flush();
  }

  // Return the message with the names of statements and portals that belong to this client.
  renamed(frame) {
    const body = frame.subarray(5);
    const statement = (name) => (name === '' ? this.unnamed : `c${this.id}_${name}`);
    const portal = (name) => (name === '' ? '' : `c${this.id}_${name}`);
    if (typeOf(frame) === 'P') {
      const [name, at] = readText(body, 0);
      if (name === '') this.unnamed = `c${this.id}u${++this.unnamedCount}`;
      const listens = LISTEN.exec(readText(body, at)[0]);
      if (listens && !listens[1]) this.channels.add(listens[2]);
      return message('P', Buffer.concat([text(statement(name)), body.subarray(at)]));
    }
    if (typeOf(frame) === 'B') {
      const [to, at] = readText(body, 0);
      const [from, rest] = readText(body, at);
      return message('B', Buffer.concat([text(portal(to)), text(statement(from)), body.subarray(rest)]));
    }
    if (typeOf(frame) === 'D' || typeOf(frame) === 'C') {
      const kind = body.toString('latin1', 0, 1);
      const [name] = readText(body, 1);
      return message(typeOf(frame), Buffer.concat([Buffer.from(kind), text(kind === 'S' ? statement(name) : portal(name))]));
    }
    if (typeOf(frame) === 'E') {
      const [name, at] = readText(body, 0);
      return message('E', Buffer.concat([text(portal(name)), body.subarray(at)]));
    }
    return frame;
  }

  flush() {
    const frames = this.batch;
    this.batch = [];
    this.then(() => this.handle(frames));
  }

  async handle(frames) {
    await acquire(this);
    let status = 'I';
    try {
      const answer = await db.execProtocolRaw(new Uint8Array(Buffer.concat(frames)));
      // An answer to Flush has no status: the transaction is as it was.
      status = this.deliver(Buffer.from(answer)) ?? this.status;
      if (frames.some((frame) => typeOf(frame) === 'Q' && RESETS.test(frame.toString('utf8', 5))))
        await db.exec('set search_path = "$user", public'); // which the engine's own reset loses
    } catch (error) {
      console.error('engine', error.message);
      this.socket.destroy();
    }
    this.status = status;
    if (status === 'I') release();
  }

  // Send the answer and return the status of the transaction in it, null if there is none.
  deliver(answer) {
    let status = null;
    const kept = [];
    for (const frame of split(answer)) {
      if (typeOf(frame) === 'A') {
        const [channel] = readText(frame, 9);
        for (const other of clients) if (other.channels.has(channel)) other.socket.write(frame);
        continue;
      }
      if (this.greetedCopy && typeOf(frame) === 'G') continue;
      if (typeOf(frame) === 'Z') status = String.fromCharCode(frame[5]);
      kept.push(frame);
    }
    this.greetedCopy = false;
    this.socket.write(Buffer.concat(kept));
    return status;
  }

  gone() {
    clients.delete(this);
    this.then(async () => {
      if (owner !== this) return;
      await db.exec('rollback').catch(() => {});
      this.status = 'I';
      release();
    });
  }
}

net.createServer((socket) => {
  const client = new Client(socket);
  clients.add(client);
  socket.setNoDelay(true);
  socket.on('error', () => {}); // followed by close
  socket.on('close', () => client.gone());
  socket.on('data', (data) => client.take(data));
}).listen(Number(port), '127.0.0.1');

const stop = async () => {
  await db.close();
  process.exit(0);
};
process.on('SIGTERM', stop);
process.on('SIGINT', stop);
