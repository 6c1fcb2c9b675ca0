'use strict';
/*
 * The HTTP face of a foreign server: login, CSRF, the REST API of contract section 10, the guard in
 * front of somebody else's Bayeux server, and faults. It is steered under /_control/ (control.js).
 */

const crypto = require('crypto');
const { EventEmitter } = require('events');
const http = require('http');
const verbs = require('./control');
const { Refusal } = require('./gws');

const API = '/api/v2/';
const NOTIFICATIONS = '/api/v2/notifications';
const CONTROL = '/_control/';
const CSRF_HEADER = 'X-CSRF-TOKEN';
const HTTP_STATUS = { 0: 200, 1: 400, 2: 409, 3: 403, 4: 500, 6: 404, 10: 400, 20: 403 };
const TSERVER_ANNEX = { multimedia: 'true', 'sip-signaling-chat': 'none' };
const LEAD_MS = 20; // by so much an event comes before its reply when `eventsFirst` is on
const IDLE_MS = 30000; // as Jetty's sample settings; Node's own 5 s would race with clients' pools

/**
 * What a Bayeux server writes its reply to. It stands between the server and the socket, so that a
 * reply can get lost on the way while the server believes that it was sent.
 */
class BayeuxReply extends EventEmitter {
  constructor(response, deliver) {
    super();
    this.response = response;
    this.deliver = deliver;
    this.cut = false; // true once an outage has answered in the server's place
    this.statusCode = 200;
    this.headers = {};
  }

  get socket() {
    return this.cut ? { destroyed: false } : this.response.socket;
  }

  setHeader(name, value) {
    this.headers[name] = value;
  }

  writeHead(statusCode, headers) {
    this.statusCode = statusCode;
    Object.assign(this.headers, headers);
  }

  end(content = '') {
    this.deliver(this, content);
    queueMicrotask(() => this.emit('finish'));
  }
}

class Facade {
  /** `bayeux` has handle(request, reply), publish(user, channel, data) and what control.js uses. */
  constructor(gws, bayeux, { csrf }) {
    this.gws = gws;
    this.bayeux = bayeux;
    this.csrf = csrf;
    this.httpSessions = new Map(); // JSESSIONID → {user, token}
    this.log = [];
    this.lost = []; // events that left the Bayeux server's queue and reached nobody
    this.polls = new Set(); // Bayeux replies not yet given
    this.faults = { pollReplies: 0, operationReplies: 0, eventsFirst: false, outage: null };
    this.server = http.createServer((request, response) => this.handle(request, response));
    this.server.keepAliveTimeout = IDLE_MS;
  }

  listen(port, ready) {
    this.server.listen(port, '127.0.0.1', () => {
      this.gws.origin = `http://127.0.0.1:${this.server.address().port}`;
      ready(this.server.address().port);
    });
  }

  flush() {
    for (const [agent, channel, data] of this.gws.outbox.splice(0)) {
      this.bayeux.publish(agent.user, channel, data);
    }
  }

  // Faults that cut every connection.

  /** For so long every request, polls in progress included, gets `status`, or nothing at all. */
  startOutage(seconds, status) {
    const outage = { status, until: Date.now() + seconds * 1000 };
    this.faults.outage = outage;
    setTimeout(() => {
      if (this.faults.outage === outage) this.faults.outage = null;
    }, seconds * 1000).unref();
    for (const reply of this.polls) {
      reply.cut = true;
      this.refuse(reply.response, outage);
    }
  }

  refuse(response, { status, until }) {
    if (status) {
      const html = `<html><body><h1>${status} ${http.STATUS_CODES[status]}</h1></body></html>`;
      response.writeHead(status, { 'Content-Type': 'text/html' }).end(html);
    } else {
      setTimeout(() => response.socket?.destroy(), until - Date.now()).unref();
    }
  }

  // Requests.

  handle(request, response) {
    const url = new URL(request.url, 'http://foreign');
    const path = url.pathname.replace(/\/$/, '');
    if (path.startsWith(CONTROL)) {
      this.control(path.slice(CONTROL.length), request, response);
    } else if (this.faults.outage) {
      this.record({ method: request.method, path, http: this.faults.outage.status });
      this.refuse(response, this.faults.outage);
    } else if (`${path}/`.startsWith(`${NOTIFICATIONS}/`)) {
      this.notifications(request, response);
    } else if (path.startsWith(API)) {
      this.rest(path.slice(API.length).split('/'), url.searchParams, request, response);
    } else {
      response.writeHead(404).end();
    }
  }

  record(entry) {
    this.log.push({ seq: this.log.length, at: Date.now(), ...entry });
  }

  // Who is it?

  httpSession(request) {
    const cookie = /(?:^|;\s*)JSESSIONID=([^;]+)/.exec(request.headers.cookie || '');
    return cookie && this.httpSessions.get(cookie[1]);
  }

  /** The HTTP session of the request; a right password makes a new one. */
  login(request, response) {
    const known = this.httpSession(request);
    if (known) return known;
    const [scheme, credentials] = (request.headers.authorization || '').split(' ');
    const given = Buffer.from(credentials || '', 'base64').toString('utf8');
    const agent = this.gws.agents.find((a) => given === `${a.user}:${a.password}`);
    if (scheme !== 'Basic' || !agent) throw new Refusal(20, 'Access denied');
    const id = `${crypto.randomBytes(16).toString('hex')}.node1`;
    const session = { user: agent.user, token: crypto.randomUUID() };
    this.httpSessions.set(id, session);
    response.setHeader('Set-Cookie', `JSESSIONID=${id};Path=/;HttpOnly`);
    return session;
  }

  endHttpSessions(user) {
    for (const [id, session] of this.httpSessions) {
      if (!user || session.user === user) this.httpSessions.delete(id);
    }
  }

  requireCsrf(session, request) {
    if (this.csrf && request.headers[CSRF_HEADER.toLowerCase()] !== session.token) {
      throw new Refusal(3, 'Missing or invalid Csrf token');
    }
  }

  // CometD.

  notifications(request, response) {
    try {
      const session = this.httpSession(request);
      if (!session) throw new Refusal(20, 'Access denied');
      this.requireCsrf(session, request);
      request.user = session.user;
    } catch (error) {
      this.answerRefusal(response, error, { method: request.method, path: NOTIFICATIONS });
      return;
    }
    const reply = new BayeuxReply(response, (...args) => this.deliver(request.user, ...args));
    this.polls.add(reply);
    response.on('close', () => this.polls.delete(reply));
    this.bayeux.handle(request, reply);
  }

  deliver(user, reply, content) {
    this.polls.delete(reply);
    const messages = parsed(content, []);
    const events = messages.filter((m) => m.data !== undefined);
    const meta = messages.filter((m) => m.channel?.startsWith('/meta/')).map((m) => m.channel);
    const losing = this.faults.pollReplies > 0 && events.length > 0;
    const gone = losing || reply.cut || reply.response.destroyed;
    const status = gone ? null : reply.statusCode;
    this.record({ agent: user, path: NOTIFICATIONS, meta, events: events.length, http: status });
    if (losing) {
      this.faults.pollReplies -= 1;
      reply.response.socket?.destroy();
    }
    if (gone) {
      this.lost.push(...events.map(({ channel, data }) => ({ agent: user, channel, data })));
    } else {
      reply.response.writeHead(status, reply.headers).end(content);
    }
  }

  // REST.

  async rest(path, query, request, response) {
    const entry = { method: request.method, path: `/${path.join('/')}` };
    try {
      const { content, after } = await this.resource(path, query, request, response, entry);
      if (entry.operation && this.faults.operationReplies > 0) {
        this.faults.operationReplies -= 1;
        this.record({ ...entry, http: null, statusCode: 0 });
        response.socket?.destroy();
      } else {
        this.answer(response, { statusCode: 0, ...content }, entry);
      }
      after?.();
    } catch (error) {
      if (request.errored) return; // the client went away in the middle of its request
      if (!(error instanceof Refusal)) throw error;
      this.answerRefusal(response, error, entry);
    }
    this.flush();
  }

  async resource(path, query, request, response, entry) {
    if (path.join('/') === 'diagnostics/version') return { content: { version: '8.5.202.96' } };
    const session = this.login(request, response);
    entry.agent = session.user;
    const agent = this.gws.agent(session.user);
    if (request.method === 'GET') {
      if (this.csrf) {
        response.setHeader('X-CSRF-HEADER', CSRF_HEADER);
        response.setHeader('X-CSRF-TOKEN', session.token);
      }
      return { content: this.read(agent, path, query) };
    }
    this.requireCsrf(session, request);
    entry.body = parsed(await text(request), null);
    entry.operation = entry.body?.operationName;
    return this.operate(agent, path, entry.body);
  }

  async operate(agent, path, body) {
    if (!body) throw new Refusal(10, 'the body is no JSON object');
    if (path[0] !== 'me') throw new Refusal(6, 'not found');
    this.gws.operate(agent, path.slice(1), body);
    if (this.faults.eventsFirst) {
      this.flush();
      await new Promise((done) => setTimeout(done, LEAD_MS));
    }
    if (body.operationName !== 'EndContactCenterSession') return {};
    return {
      after: () => {
        this.flush();
        this.endHttpSessions(agent.user);
        this.bayeux.expire(agent.user);
      },
    };
  }

  read(agent, path, query) {
    const all = query.get('fields') === '*';
    const { origin } = this.gws;
    const legs = this.gws.liveLegs(agent);
    switch (path.slice(0, 2).join('/') + (path.length > 2 ? '/…' : '')) {
      case 'me':
        return { user: this.gws.me(agent) };
      case 'me/devices':
        return { devices: [this.gws.device(agent)] };
      case 'me/calls':
        return { calls: [] };
      case 'services':
        return { services: [] };
      case 'me/devices/…':
        return {
          settings: Object.entries(TSERVER_ANNEX).map(([name, value]) => ({ name, value })),
          key: 'name',
        };
      case 'me/im-sessions':
        return all
          ? { imSessions: legs.map(({ session, leg }) => this.gws.imSession(session, leg)) }
          : { uris: legs.map(({ session }) => `${origin}/api/v2/im-sessions/${session.id}`) };
      case 'me/im-sessions/…': {
        const { session, leg } = this.gws.liveLeg(agent, path[2]);
        return { imSession: this.gws.imSession(session, leg) };
      }
      default:
        throw new Refusal(6, 'not found');
    }
  }

  answerRefusal(response, { statusCode, message }, entry) {
    this.answer(response, { statusCode, statusMessage: message }, entry);
  }

  answer(response, content, entry) {
    const status = HTTP_STATUS[content.statusCode];
    this.record({ ...entry, http: status, statusCode: content.statusCode });
    writeJson(response, status, content);
  }

  // Steering.

  async control(verb, request, response) {
    try {
      const args = request.method === 'GET' ? {} : parsed(await text(request), {});
      writeJson(response, 200, this.steer(verb, args) ?? {});
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      writeJson(response, 400, { error: error.message });
    }
  }

  /** Does what `verb` says (see control.js); events have left when it returns. */
  steer(verb, args) {
    if (!Object.hasOwn(verbs, verb)) throw new Refusal(10, `no verb ${verb}`);
    const result = verbs[verb](this, args);
    this.flush();
    return result;
  }
}

async function text(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}

function parsed(json, otherwise) {
  try {
    const value = JSON.parse(json);
    return typeof value === 'object' && value !== null ? value : otherwise;
  } catch {
    return otherwise;
  }
}

function writeJson(response, status, content) {
  const headers = { 'Content-Type': 'application/json;charset=UTF-8' };
  response.writeHead(status, headers).end(JSON.stringify(content));
}

module.exports = { Facade };
