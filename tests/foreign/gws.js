'use strict';
/*
 * The GWS half of a foreign server: agents, their devices and IM sessions, and what each operation
 * does to them. It knows neither HTTP nor Bayeux: events gather in `outbox` until they are sent.
 */

const crypto = require('crypto');

const LOGGED_OUT = 'LoggedOut';
const CAPABILITIES = {
  Initiating: ['Complete'],
  Alerting: ['Complete'],
  Talking: ['Complete', 'AttachUserData', 'DeleteUserData', 'UpdateUserData', 'SendMessage'],
  Completed: ['Complete', 'AttachUserData', 'DeleteUserData', 'UpdateUserData', 'SendMessage'],
};

/** An operation refused with a GWS status code: nothing was changed. */
class Refusal extends Error {
  constructor(statusCode, message) {
    super(message);
    this.statusCode = statusCode;
  }
}

/** A UUID that is the same in every run, so that a device keeps its path over a restart. */
function deviceId(user) {
  const hex = crypto.createHash('sha256').update(user).digest('hex');
  return [[0, 8], [8, 12], [12, 16], [16, 20], [20, 32]].map(([a, b]) => hex.slice(a, b)).join('-');
}

function participant(number) {
  return { e164Number: '', formattedPhoneNumber: number, phoneNumber: number, digits: number };
}

class Gws {
  /** Agents are bot1 … botN with the passwords pw-bot1 … and the numbers 7001 …. */
  constructor(agentCount) {
    this.origin = '';
    this.outbox = [];
    this.sessions = [];
    this.agents = [];
    for (let n = 1; n <= agentCount; n++) {
      const user = `bot${n}`;
      this.agents.push({
        user,
        password: `pw-${user}`,
        number: String(7000 + n),
        deviceId: deviceId(user),
        voiceState: LOGGED_OUT,
      });
    }
  }

  // What survives a restart.

  snapshot() {
    const voiceStates = Object.fromEntries(this.agents.map((a) => [a.user, a.voiceState]));
    return { sessions: this.sessions, voiceStates };
  }

  restore({ sessions, voiceStates }) {
    this.sessions = sessions;
    for (const agent of this.agents) agent.voiceState = voiceStates[agent.user] || LOGGED_OUT;
  }

  // Looking up.

  agent(user) {
    const found = this.agents.find((a) => a.user === user);
    if (!found) throw new Refusal(6, `no agent ${user}`);
    return found;
  }

  /** The session with this id, live or completed. */
  session(id) {
    const found = this.sessions.find((s) => s.id === id);
    if (!found) throw new Refusal(6, `no IM session ${id}`);
    return found;
  }

  liveLegs(agent) {
    return this.sessions
      .flatMap((session) => session.legs.map((leg) => ({ session, leg })))
      .filter(({ leg }) => leg.user === agent.user && leg.state !== 'Completed');
  }

  liveLeg(agent, id) {
    const found = this.liveLegs(agent).find(({ session }) => session.id === id);
    if (!found) throw new Refusal(6, `IM session ${id} is not found.`);
    return found;
  }

  // What the REST API shows.

  device(agent) {
    return {
      id: agent.deviceId,
      deviceState: 'Active',
      userState: { state: agent.voiceState },
      phoneNumber: agent.number,
      description: '',
      e164Number: '',
      telephonyNetwork: 'Private',
      doNotDisturb: 'Off',
      voiceEnvironmentUri: `${this.origin}/api/v2/voice-environments/1`,
      capabilities: ['DoNotDisturbOn', 'ForwardCallsOn'],
      channels: ['voice'],
      dynamicPhoneNumber: '',
    };
  }

  me(agent) {
    const userId = agent.deviceId.replaceAll('-', '');
    return {
      id: userId,
      userName: agent.user,
      firstName: agent.user,
      lastName: 'Bot',
      emailAddress: '',
      roles: ['ROLE_AGENT'],
      enabled: true,
      devices: [this.device(agent)],
      channels: [],
      channelStates: [],
      calls: [],
      features: [{
        id: 'api-voice-instant-messaging',
        displayName: 'API Voice Instant Messaging',
        description: 'API for Internal Agent-to-Agent Chat',
        autoAssignOnContactCenterCreate: true,
        uri: `${this.origin}/api/v2/features/api-voice-instant-messaging`,
        path: '/features/api-voice-instant-messaging',
      }],
      changePasswordOnFirstLogin: false,
      contactCenterId: 'a5b1c2d3-0000-4000-8000-000000000001',
      uri: `${this.origin}/api/v2/users/${userId}`,
      path: `/users/${userId}`,
    };
  }

  imSession(session, leg) {
    const shown = {
      id: session.id,
      state: leg.state,
      participants: session.legs.filter((l) => l !== leg).map((l) => participant(l.number)),
      capabilities: CAPABILITIES[leg.state],
      deviceUri: `${this.origin}/api/v2/devices/${this.agent(leg.user).deviceId}`,
      uri: `${this.origin}/api/v2/im-sessions/${session.id}`,
      path: `/im-sessions/${session.id}`,
    };
    if (Object.keys(session.userData).length > 0) shown.userData = session.userData;
    return shown;
  }

  // What CometD shows.

  notify(agent, channel, data) {
    const metrics = { eventProcessing: { serverGenerationTimestamp: Date.now() } };
    // Copied now: what an event tells is the state of its moment, not of the moment of its sending.
    this.outbox.push([agent, channel, structuredClone({ ...data, metrics })]);
  }

  notifySession(session, notificationType, only = session.legs) {
    for (const leg of only.filter((l) => l.user)) {
      this.notify(this.agent(leg.user), '/v2/me/im-sessions', {
        messageType: 'IMSessionStateChangeMessage',
        notificationType,
        imSession: this.imSession(session, leg),
      });
    }
  }

  notifyDevice(agent) {
    this.notify(agent, '/v2/me/devices', {
      messageType: 'DeviceStateChangeMessage',
      devices: [this.device(agent)],
    });
  }

  // What happens to an IM session, whoever is the cause.

  /** A new session; a leg without `user` is a party outside. */
  open(legs, userData = {}) {
    const id = crypto.randomUUID().replaceAll('-', '').toUpperCase();
    const session = { id, userData: { ...userData }, legs };
    this.sessions.push(session);
    this.notifySession(session, 'StatusChange');
    return session;
  }

  setState(session, state) {
    for (const leg of session.legs) leg.state = state;
    this.notifySession(session, 'StatusChange');
  }

  say(session, text) {
    for (const leg of session.legs.filter((l) => l.user)) {
      this.notify(this.agent(leg.user), '/v2/me/im-sessions', {
        messageType: 'IMLogUpdateMessage',
        notificationType: 'NewMessage',
        imSessionPath: `/im-sessions/${session.id}`,
        message: text,
      });
    }
  }

  changeUserData(session, set, deleted = []) {
    Object.assign(session.userData, set);
    for (const key of deleted) delete session.userData[key];
    this.notifySession(session, 'AttachedDataChanged');
  }

  // Operations. Each returns nothing: GWS answers `statusCode` 0 and tells the effect by event.

  /** Carries out `body.operationName` on `target`: me is [], others as [im-sessions, id]. */
  operate(agent, target, body) {
    const [collection, id] = target;
    const table = collection === 'im-sessions'
      ? (id ? this.sessionOperations(agent, id) : this.collectionOperations(agent))
      : this.agentOperations(agent);
    const operation = Object.hasOwn(table, body.operationName) && table[body.operationName];
    if (!operation) throw new Refusal(10, `invalid operation ${body.operationName}`);
    operation(body);
  }

  agentOperations(agent) {
    const enter = (state) => {
      agent.voiceState = state;
      this.notifyDevice(agent);
    };
    return {
      StartContactCenterSession: () => {
        if (agent.voiceState !== LOGGED_OUT) return;
        enter('LoggedIn');
        enter('NotReady');
      },
      EndContactCenterSession: () => enter(LOGGED_OUT),
      Ready: () => {
        this.requireRegistered(agent);
        enter('Ready');
      },
      NotReady: () => {
        this.requireRegistered(agent);
        enter('NotReady');
      },
    };
  }

  collectionOperations(agent) {
    return { InitiateIMSession: (body) => this.initiate(agent, body) };
  }

  sessionOperations(agent, id) {
    const { session, leg } = this.liveLeg(agent, id);
    const userData = (body) => {
      if (!isMap(body.userData)) throw new Refusal(1, 'userData is missing');
      this.changeUserData(session, body.userData);
    };
    return {
      SendMessage: (body) => {
        if (leg.state !== 'Talking') throw new Refusal(2, 'Invalid state');
        if (!body.text) throw new Refusal(1, 'text is missing');
        if (!body.destination?.phoneNumber) throw new Refusal(1, 'destination is missing');
        this.requireOwnDevice(agent, body);
        this.say(session, body.text);
      },
      AttachUserData: userData,
      UpdateUserData: userData,
      DeleteUserData: (body) => {
        if (!body.key) throw new Refusal(1, 'key is missing');
        this.changeUserData(session, {}, [body.key]);
      },
      Complete: () => this.setState(session, 'Completed'),
    };
  }

  initiate(agent, body) {
    const number = body.destination?.phoneNumber;
    if (!number) throw new Refusal(1, 'destination is missing');
    this.requireRegistered(agent);
    this.requireOwnDevice(agent, body);
    if (this.liveLegs(agent).length > 0) throw new Refusal(2, 'Invalid state');
    const callee = this.agents.find((a) => a.number === number);
    const reachable = !callee || this.canBeRung(callee);
    const called = { user: reachable ? callee?.user : undefined, number, state: 'Alerting' };
    const calling = { user: agent.user, number: agent.number, state: 'Initiating' };
    const session = this.open([calling, called], body.userData);
    this.setState(session, reachable ? 'Talking' : 'Completed');
  }

  canBeRung(agent) {
    return agent.voiceState !== LOGGED_OUT && this.liveLegs(agent).length === 0;
  }

  requireRegistered(agent) {
    if (agent.voiceState !== LOGGED_OUT) return;
    const path = `/devices/${agent.deviceId}`;
    this.notify(agent, '/v2/me/devices', {
      messageType: 'ErrorMessage', // without any text, as seen from a real GWS
      devicePath: path,
      deviceUri: `${this.origin}/api/v2${path}`,
    });
    throw new Refusal(4, `Device '${agent.number}' is not registered.`);
  }

  requireOwnDevice(agent, body) {
    if (body.devicePath && body.devicePath !== `/devices/${agent.deviceId}`) {
      throw new Refusal(6, `Device ${body.devicePath} is not found.`);
    }
  }
}

function isMap(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

module.exports = { Gws, Refusal };
