'use strict';
/*
 * The Bayeux half by James Coglan: faye. It only knows channels that everybody may subscribe to, so
 * an extension gives each agent a branch of its own: /v2/me/… of bot1 is /bot1/v2/me/… inside.
 */

const faye = require('faye');
const { main } = require('./main');

function branch(user, name) {
  return typeof name === 'string' && name.startsWith('/') ? `/${user}${name}` : name;
}

function plain(user, name) {
  const inside = typeof name === 'string' && name.startsWith(`/${user}/`);
  return inside ? name.slice(user.length + 1) : name;
}

function isMeta(channel) {
  return typeof channel === 'string' && channel.startsWith('/meta/');
}

class FayeHalf {
  constructor({ timeoutMs }) {
    this.denied = [];
    this.owners = new Map(); // clientId → user
    this.polling = new Set(); // clientIds
    const mount = '/api/v2/notifications';
    this.adapter = new faye.NodeAdapter({ mount, timeout: timeoutMs / 1000 });
    this.adapter.addExtension({
      incoming: (message, request, pass) => pass(this.incoming(message, request)),
      outgoing: (message, request, pass) => pass(this.outgoing(message, request)),
    });
    this.adapter.bind('disconnect', (clientId) => this.owners.delete(clientId));
    this.adapter.bind('connection:open', (clientId) => this.polling.add(clientId));
    this.adapter.bind('connection:close', (clientId) => this.polling.delete(clientId));
    // The adapter has no public way to send at once, to forget a client or to list subscriptions.
    this.engine = this.adapter._server._engine;
  }

  incoming(message, { user }) {
    const { channel, subscription } = message;
    if (isMeta(channel)) {
      const names = subscription ? [].concat(subscription) : [];
      const denied = names.filter((name) => this.denied.includes(name));
      if (denied.length > 0) message.error = `403:${denied}:Forbidden channel`;
      if (subscription) message.subscription = names.map((name) => branch(user, name));
    } else {
      message.channel = branch(user, channel);
    }
    return message;
  }

  outgoing(message, { user }) {
    const { channel, subscription, clientId } = message;
    if (!isMeta(channel)) message.channel = plain(user, channel);
    if (channel === '/meta/handshake' && clientId) this.owners.set(clientId, user);
    if (subscription) {
      const names = subscription.map((name) => plain(user, name));
      message.subscription = names.length === 1 ? names[0] : names;
    }
    return message;
  }

  handle(request, reply) {
    this.adapter.handle(request, reply);
  }

  publish(user, channel, data) {
    this.engine.publish({ channel: branch(user, channel), data });
  }

  of(user) {
    return [...this.owners.keys()].filter((id) => !user || this.owners.get(id) === user);
  }

  expire(user) {
    for (const clientId of this.of(user)) this.engine.destroyClient(clientId);
  }

  /** faye has no goodbye of its own: a client that it drops learns so from its next connect. */
  disconnect(user) {
    this.expire(user);
  }

  clients(user) {
    const subscriptions = this.engine._engine._clients;
    return this.of(user).map((id) => ({
      id,
      subscriptions: [...subscriptions.get(id) || []].map((name) => plain(user, name)),
      polling: this.polling.has(id),
    }));
  }
}

main((options) => new FayeHalf(options));
