-- What compute and storage there is, and what becomes of the work of people who may not submit any more.

create table compute_resource (
  compute_resource bigint generated always as identity primary key,
  name text not null unique check (name ~ '^[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}$'),
  kind text not null check (kind in ('slurm', 'kubernetes', 'baremetal')),
  project bigint references project,
  description text not null default '' check (length(description) <= 1000),
  configuration jsonb not null default '{}' check (jsonb_typeof(configuration) = 'object'),
  created_by bigint not null references actor,
  created_at timestamptz not null default now(),
  version bigint not null default 1
);
comment on table compute_resource is 'SLURM clusters, Kubernetes namespaces, bare-metal hosts. Never a secret: those are credentials.';
comment on column compute_resource.project is 'Whose it is; null: the installation''s.';

create table storage_resource (
  storage_resource bigint generated always as identity primary key,
  name text not null unique check (name ~ '^[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}$'),
  kind text not null check (kind in ('s3', 'sftp', 'nfs', 'local')),
  project bigint references project,
  description text not null default '' check (length(description) <= 1000),
  configuration jsonb not null default '{}' check (jsonb_typeof(configuration) = 'object'),
  created_by bigint not null references actor,
  created_at timestamptz not null default now(),
  version bigint not null default 1
);
comment on table storage_resource is 'S3 buckets, SFTP servers, NFS trees, local directories. Never a secret: those are credentials.';

alter table project add column on_removal text not null default 'keep' check (on_removal in ('keep', 'pause', 'cancel'));
comment on column project.on_removal is 'What becomes of the unfinished experiments of somebody who may not submit to it any more.';

create table removed_submitter (
  project bigint not null references project,
  actor bigint not null references actor,
  since timestamptz not null default now(),
  primary key (project, actor)
);
comment on table removed_submitter is
  'Whose experiments were stopped by the policy of the project: once, so that whoever resumes one of them has the last word.';
