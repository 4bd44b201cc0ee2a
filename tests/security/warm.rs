//! A worker that is ready before it is known for whom brings nothing of anybody along, and takes one organization.

use std::collections::BTreeSet;
use std::fs;

use hayloft_testkit::Organization;
use serde_json::{Value, json};

use crate::harness::{HOSTILE, PATIENCE, Setup, Verdicts, World, canary, until};

in_every_setup!(what_one_organization_leaves_reaches_no_other);

/// Rounds in each setup. Four of them make two hundred.
const ROUNDS: usize = 50;

/// Leaves a text wherever a plugin can leave one: in its memory, in timers, in files, in sockets.
const STASH: &str = "
    const places = [];
    const leave = (place, act) => { try { act(); places.push(place); } catch {} };
    globalThis.stash = [...(globalThis.stash ?? []), input];
    Object.defineProperty(Object.prototype, 'stashed', { value: input, configurable: true });
    Array.prototype.map = new Proxy(Array.prototype.map, { get: (target, key) => key === 'stashed' ? input : Reflect.get(target, key) });
    require.cache['/stash.js'] = { id: '/stash.js', exports: input, loaded: true };
    process.title = input;
    process.env.STASH = input;
    setInterval(() => { globalThis.beat = input; }, 5);
    process.on('exit', () => console.log('left with something'));
    for (const folder of [process.env.HOME, '/tmp', '/dev/shm', process.cwd(), '/var/tmp', '/run'])
      leave(folder, () => fs.writeFileSync(folder + '/stash', input));
    const net = require('net');
    const listen = (...where) => new Promise((resolve) => {
      const server = net.createServer((socket) => socket.end(input));
      server.once('error', () => resolve());
      server.listen(...where, () => { places.push(String(where[0])); resolve(); });
    });
    await listen('\\0stash');
    await listen(7777, '127.0.0.1');
    await listen(process.env.HOME + '/stash.sock');
    return places.length";

/// Reads everything that a plugin can find of that.
const LOOK: &str = "
    const net = require('net');
    const found = {};
    const look = async (place, act) => { try { found[place] = await act(); } catch (error) { found[place] = error.code ?? error.name; } };
    const ask = (...where) => new Promise((resolve, reject) => {
      const socket = net.connect(...where);
      let text = '';
      socket.on('data', (chunk) => { text += chunk; }).on('end', () => resolve(text)).on('error', reject);
    });
    await look('globals', () => Object.getOwnPropertyNames(globalThis).filter((name) => typeof globalThis[name] === 'string' || Array.isArray(globalThis[name])).map((name) => name + '=' + globalThis[name]));
    await look('prototypes', () => [({}).stashed, [].map.stashed]);
    await look('modules', () => Object.entries(require.cache).map(([name, module]) => name + '=' + (typeof module.exports === 'string' ? module.exports : '')));
    await look('title', () => process.title);
    await look('environment', () => Object.entries(process.env).join());
    for (const folder of [process.env.HOME, '/tmp', '/dev/shm', process.cwd(), '/var/tmp', '/run'])
      await look(folder, () => fs.readdirSync(folder).map((name) => { try { return name + '=' + fs.readFileSync(folder + '/' + name, 'utf8').slice(0, 200); } catch { return name; } }));
    await look('abstract', () => ask('\\0stash'));
    await look('port', () => ask(7777, '127.0.0.1'));
    await look('socket', () => ask(process.env.HOME + '/stash.sock'));
    await look('handles', () => process._getActiveHandles().map((handle) => handle.constructor.name + ' ' + (handle.remoteAddress ?? '')).join());
    return JSON.stringify(found)";

/// Says once more that it is ready, as if it had no organization.
const READY_AGAIN: &str = "
    const body = Buffer.from(JSON.stringify({ type: 'ready' }));
    const head = Buffer.alloc(5);
    head.writeUInt32BE(body.length, 0);
    head[4] = 1;
    fs.writeSync(3, Buffer.concat([head, body]));
    await new Promise(() => {});";

async fn what_one_organization_leaves_reaches_no_other(setup: Setup) {
    let world = World::start_with(setup, |builder| builder.warm_pool("512MiB")).await;
    let mut verdicts = Verdicts::new(setup);
    let mut organizations = vec![world.attacker.clone(), world.victim.clone()];
    for number in 3..=8 {
        let organization = world.server.organization(&format!("Organization {number}")).await;
        organization.enable(HOSTILE, json!({ "secret": canary("other") })).await;
        organizations.push(organization);
    }
    let mut chance = Chance::new();
    let mut left: Vec<String> = Vec::new();
    let (mut used, mut from_pool) = (BTreeSet::new(), 0);
    for round in 0..ROUNDS {
        let organization = &organizations[chance.below(organizations.len())];
        let ready = warm(&world).await;
        end_worker(organization, chance.below(3)).await;
        let seen = world.run(organization, LOOK, Value::Null).await.to_string();
        let worker = worker_of(&world, organization).await;
        verdicts
            .check(used.insert(worker.clone()), || format!("{worker} was used twice (seed {})", chance.seed));
        from_pool += usize::from(ready.contains(&worker));
        for (before, text) in left.iter().enumerate() {
            verdicts.check(!seen.contains(text), || {
                format!("round {round} sees what round {before} left (seed {}): {seen}", chance.seed)
            });
        }
        for other in organizations.iter().filter(|other| other.id != organization.id) {
            verdicts.check(!seen.contains(&other.id), || format!("round {round} sees {}: {seen}", other.id));
        }
        let text = canary("left");
        let places = world.run(organization, STASH, json!(text)).await;
        verdicts.check(places.as_u64() >= Some(1), || format!("round {round} left it in {places} places"));
        if round == 0 {
            // Who looks in the same worker finds it in all of them.
            let seen = world.run(organization, LOOK, Value::Null).await.to_string();
            let count = seen.matches(&text).count();
            verdicts.check(count >= 6, || format!("only {count} times in {seen}"));
        }
        left.push(text);
    }
    // Many were there before anybody asked; an organization that has just had one waits for its next.
    verdicts.check(from_pool >= ROUNDS / 4, || format!("only {from_pool} of {ROUNDS} were ready before"));

    // One that pretends to have no organization is ended, and given to nobody.
    let pretender = worker_of(&world, &world.attacker).await;
    let answer = world.try_run(&world.attacker, "hostile__run", READY_AGAIN, Value::Null).await;
    verdicts.check(answer.status == 502, || format!("{}: {}", answer.status, answer.text()));
    until("the pretender to be gone", PATIENCE, async || {
        !listed(&world).await.to_string().contains(&pretender)
    })
    .await;
    for organization in &organizations {
        world.run(organization, "return 1", Value::Null).await;
        let worker = worker_of(&world, organization).await;
        verdicts.check(worker != pretender, || format!("{worker} serves {}", organization.id));
    }
    verdicts.done();
    world.end().await;
}

/// Ends the organization's worker in one of the ways in which workers end.
async fn end_worker(organization: &Organization, way: usize) {
    match way {
        0 => {
            organization.post(&format!("plugins/{HOSTILE}/restart"), &json!({})).await.expect(200);
        }
        1 => {
            organization.delete(&format!("plugins/{HOSTILE}")).await.expect(200);
            organization.put(&format!("plugins/{HOSTILE}"), &json!({ "enabled": true })).await.expect(200);
        }
        _ => {
            // Switching on starts one that tries the settings; a save replaces the one that serves.
            let secret = json!({ "secret": canary("saved") });
            organization.put(&format!("plugins/{HOSTILE}"), &json!({ "config": secret })).await.expect(200);
        }
    }
}

async fn listed(world: &World) -> Value {
    world.server.admin().get("/v1/workers").await.expect(200).json()
}

/// The workers that are ready for nobody in particular, once there is one.
async fn warm(world: &World) -> BTreeSet<String> {
    let mut ready = BTreeSet::new();
    until("a worker that is ready", PATIENCE, async || {
        let workers = listed(world).await;
        let workers = workers["workers"].as_array().expect("workers").iter();
        let warm = workers.filter(|worker| worker["workerState"] == "warm" && worker["org"].is_null());
        ready = warm.filter_map(|worker| worker["workerId"].as_str().map(str::to_owned)).collect();
        !ready.is_empty()
    })
    .await;
    ready
}

/// The worker that serves an organization.
async fn worker_of(world: &World, organization: &Organization) -> String {
    let workers = listed(world).await;
    let mut all = workers["workers"].as_array().expect("workers").iter();
    let serves = |worker: &&Value| worker["org"] == *organization.id && worker["workerState"] == "bound";
    let worker =
        all.find(serves).unwrap_or_else(|| panic!("nothing serves {} in {workers:#}", organization.id));
    worker["workerId"].as_str().expect("an id").to_owned()
}

/// A course of events that can be had again from its seed.
struct Chance {
    seed: u64,
    state: u64,
}

impl Chance {
    fn new() -> Self {
        let random = fs::read_to_string("/proc/sys/kernel/random/uuid").expect("randomness");
        let seed = u64::from_str_radix(&random[..8], 16).expect("digits");
        Self { seed, state: seed }
    }

    fn below(&mut self, bound: usize) -> usize {
        // Knuth's MMIX constants; the upper half is good enough for a choice among few.
        self.state =
            self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.state >> 33).unwrap_or_default() % bound
    }
}
