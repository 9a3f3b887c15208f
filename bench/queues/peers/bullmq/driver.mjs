// BullMQ as bench/queues drives it: a line of JSON for each command, and one for each answer; src/protocol.rs describes both.
import { createInterface } from 'node:readline';
import { Queue, Worker } from 'bullmq';
import IORedis from 'ioredis';

const [settings, url] = process.argv.slice(2);
const best = settings === 'best';
const CALLERS = 50;
const CHUNK = 1000;
// The braces and names of the payload.
const AROUND = 24;
const SLOTS = 10;
const WARM_UP = 5;
const PATIENCE = 40_000;

const connect = (options) => new IORedis(url, { maxRetriesPerRequest: null, ...options });
const producing = connect({});
const keeping = best ? { removeOnComplete: true, removeOnFail: true } : {};
const makeQueue = () =>
  new Queue('bench', {
    connection: producing,
    defaultJobOptions: keeping,
    ...(best ? { streams: { events: { maxLen: 100 } } } : {}),
  });

let queue = makeQueue();
await queue.waitUntilReady();
const payload = (at, bytes) => ({ at, text: 'x'.repeat(Math.max(0, bytes - AROUND)) });
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function clear() {
  await producing.flushdb();
  // It writes its settings anew.
  queue = makeQueue();
  await queue.waitUntilReady();
  return {};
}

async function left() {
  const counts = await queue.getJobCounts(
    'waiting', 'active', 'delayed', 'prioritized', 'paused', 'waiting-children', 'failed');
  return Object.values(counts).reduce((sum, count) => sum + count, 0);
}

async function enqueue({ how, jobs, bytes }) {
  const start = performance.now();
  if (how === 'bulk') {
    for (let first = 0; first < jobs; first += CHUNK) {
      const chunk = [];
      for (let at = first; at < Math.min(first + CHUNK, jobs); at += 1) {
        chunk.push({ name: 'bench', data: payload(at, bytes) });
      }
      await queue.addBulk(chunk);
    }
  } else {
    let next = 0;
    const caller = async () => {
      while (next < jobs) {
        const at = next;
        next += 1;
        await queue.add('bench', payload(at, bytes));
      }
    };
    await Promise.all(Array.from({ length: how === 'single' ? 1 : CALLERS }, caller));
  }
  return { seconds: (performance.now() - start) / 1000, jobs };
}

async function makeWorker(concurrency, handle) {
  const connection = connect({});
  const worker = new Worker('bench', handle, { connection, concurrency, autorun: false });
  worker.on('error', (error) => console.error(error.message));
  await worker.waitUntilReady();
  const close = async () => {
    await worker.close();
    connection.disconnect();
  };
  return { worker, close };
}

async function drain({ at_once: atOnce, jobs }) {
  let seen = 0;
  const { worker, close } = await makeWorker(atOnce, async () => {
    seen += 1;
  });
  const start = performance.now();
  worker.run();
  while (seen < jobs) await sleep(1);
  // What the server says was so when it was asked: how long it counts is no part of the time.
  let seconds;
  for (;;) {
    seconds = (performance.now() - start) / 1000;
    if ((await left()) === 0) break;
    await sleep(1);
  }
  await close();
  return { seconds, jobs };
}

async function latency({ jobs }) {
  const waiting = new Map();
  const { worker, close } = await makeWorker(SLOTS, async (job) => {
    waiting.get(job.data.at)?.(performance.now());
  });
  worker.run();
  const micros = [];
  for (let at = 0; at < jobs + WARM_UP; at += 1) {
    // As long as the other queues' driver does.
    await sleep(5 + ((at * 7) % 11));
    let timer;
    const begun = new Promise((resolve, reject) => {
      waiting.set(at, resolve);
      timer = setTimeout(() => reject(new Error('a job was not begun with')), PATIENCE);
    });
    const start = performance.now();
    await queue.add('bench', payload(at, 100));
    micros.push(Math.round(((await begun) - start) * 1000));
    clearTimeout(timer);
    waiting.delete(at);
  }
  // The last one is completed after it was begun with.
  while ((await left()) > 0) await sleep(1);
  await close();
  return { jobs, micros: micros.slice(WARM_UP) };
}

let resting;
async function rest() {
  resting = await makeWorker(SLOTS, async () => {});
  resting.worker.run();
  return {};
}

async function leave() {
  await resting?.close();
  resting = undefined;
  return {};
}

const commands = { clear, enqueue, drain, latency, rest, leave, left: async () => ({ jobs: await left() }) };
const say = (answer) => process.stdout.write(`${JSON.stringify(answer)}\n`);

say({});
for await (const line of createInterface({ input: process.stdin })) {
  const { do: name, ...rest } = JSON.parse(line);
  try {
    say(await commands[name](rest));
  } catch (error) {
    say({ error: String(error?.message ?? error) });
  }
}
process.exit(0);
