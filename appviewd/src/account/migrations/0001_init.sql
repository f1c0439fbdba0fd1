-- What is precious: whose keys, whose sessions, and what was promised to whom. Never rebuilt, never joined with the index.
--
-- Moments are microseconds since the Unix epoch. What opens a door (a key, a cookie, a code) is held as its SHA-256, and what
-- must be had again (a token) is sealed: see `seal.rs`. DIDs are all that is held of who somebody is: no address, no name, no
-- user agent.

-- One row: an API key, alive, revoked or expired. `prefix` is what its owner knows it by; the key itself is nowhere.
create table api_key (
    id           text    primary key,
    did          text    not null,
    name         text    not null,
    prefix       text    not null,
    hash         blob    not null unique,
    created_at   integer not null,
    expires_at   integer,
    revoked_at   integer,
    last_used_at integer,
    check (length(hash) = 32)
) strict;

-- Which keys has a person?
create index api_key_by_did on api_key (did, created_at desc);

-- One row: that this service may publish for a person. `generation` is drawn from `counter` at every write, so that a
-- write that began before another one, or before the row was deleted, finds that it is too late.
create table session (
    did          text    primary key,
    generation   integer not null unique,
    state        text    not null check (state in ('ready', 'refreshing', 'needs-sign-in')),
    sealed       blob,
    signed_in_at integer not null,
    changed_at   integer not null,
    check ((sealed is null) = (state = 'needs-sign-in'))
) strict;

-- One row: how far something was counted that never goes back.
create table counter (
    name text    primary key,
    last integer not null
) strict;

insert into counter (name, last) values ('generation', 0);

-- One row: a sign-in that has begun at an authorization server. `state` and `browser` are hashes of what comes back with
-- it.
create table sign_in (
    state      blob    primary key,
    browser    blob    not null,
    sealed     blob    not null,
    expires_at integer not null
) strict;

-- Which are over?
create index sign_in_by_end on sign_in (expires_at);

-- One row: a browser that is signed in. `token` is the hash of its cookie.
create table browser_session (
    token      blob    primary key,
    did        text    not null,
    created_at integer not null,
    expires_at integer not null
) strict;

-- Which browsers has a person?
create index browser_session_by_did on browser_session (did, created_at);
create index browser_session_by_end on browser_session (expires_at);

-- One row: something that was done in a person's name, for that person to read.
create table audit (
    id      integer primary key autoincrement,
    did     text    not null,
    at      integer not null,
    action  text    not null,
    actor   text    not null,
    subject text
) strict;

create index audit_by_did on audit (did, id desc);
create index audit_by_time on audit (at);

-- One row: tokens that an authorization server is still to be told to forget. The person's session is gone by then.
create table revocation (
    id       integer primary key autoincrement,
    did      text    not null,
    sealed   blob    not null,
    attempts integer not null,
    due_at   integer not null,
    since    integer not null
) strict;

create index revocation_by_due on revocation (due_at);

-- One row: the newest wipe of a person's data. `step` is the next thing to do, not before `due_at`; `report` is JSON, what was
-- done so far. `here` leaves the person's own repository as it is.
create table wipe (
    did        text    primary key,
    extent     text    not null check (extent in ('everything', 'here')),
    step       text    not null,
    sessions   text    not null check (sessions in ('keep', 'end')),
    report     text    not null,
    started_at integer not null,
    changed_at integer not null,
    due_at     integer not null
) strict;

-- Which wipes are to be gone on with?
create index wipe_by_due on wipe (due_at) where step <> 'done';

-- One row: a person whose data was wiped. What their repository said up to `rev` (a TID; null if it said nothing) and what
-- was held of them up to `at` must not come back. Of whoever left
-- without deleting their records nothing is shown until they sign in again.
create table exclusion (
    did   text    primary key,
    rev   text,
    at    integer not null,
    shown text    not null check (shown in ('since', 'nothing'))
) strict;

-- One row: a device that asks to be paired. `device` and `code` are hashes of what it, and its owner, know it by. `sealed` is
-- what the device gets once it is approved, where that is not a key to be made when it comes for it.
create table pairing (
    device     blob    primary key,
    code       blob    not null unique,
    state      text    not null check (state in ('pending', 'approved', 'denied', 'consumed')),
    did        text,
    sealed     blob,
    created_at integer not null,
    check (state not in ('approved', 'consumed') or did is not null),
    check (sealed is null or state = 'approved')
) strict;

create index pairing_by_did on pairing (did);
create index pairing_by_time on pairing (created_at);

-- One row: a bug report that a person's machine sent; its bytes are a file.
create table bug_report (
    ticket     text    primary key,
    did        text    not null,
    file       text    not null,
    bytes      integer not null,
    created_at integer not null
) strict;

create index bug_report_by_did on bug_report (did, created_at);
