//! What the roles may do.

use shared_core::schema::Profile;
use tokio_postgres::types::Type;

use super::{Check, Finding, Severity};
use crate::address::Address;
use crate::config::{Config, Roles};
use crate::direct::Direct;
use crate::error::Error;

pub(super) const CHECKS: &[Check] = &[BYPASS, MEMBERS, HEIRS, OWNERS, MAKERS];

const BYPASS: Check = Check {
    severity: Severity::Alarm,
    why: "no policy holds for such a role: it sees the rows of every tenant",
    with: "",
    sql: "
        select 'role ' || oid::regrole, 'is a superuser or bypasses row-level security',
               format('alter role %s nosuperuser nobypassrls;', oid::regrole)
          from pg_roles
         where (rolsuper or rolbypassrls)
           and oid in ('{owner}'::regrole, '{app}'::regrole, '{system}'::regrole, '{across}'::regrole, '{definer}'::regrole)",
};

const MEMBERS: Check = Check {
    severity: Severity::Alarm,
    why: "a statement can take on every role that its own is a member of, and with it what that one may see",
    with: "",
    sql: "
        select 'role ' || m.oid::regrole, format('is a member of %s', r.oid::regrole), format('revoke %s from %s;', r.oid::regrole, m.oid::regrole)
          from pg_roles m, pg_roles r
         where m.oid in ('{app}'::regrole, '{system}'::regrole, '{across}'::regrole, '{definer}'::regrole)
           and r.oid <> m.oid and not m.rolsuper and pg_has_role(m.oid, r.oid, 'MEMBER')
           and (r.rolsuper or r.rolbypassrls or r.rolcreaterole
                or r.oid in ('{owner}'::regrole, '{app}'::regrole, '{system}'::regrole, '{across}'::regrole, '{definer}'::regrole)
                or r.rolname in ('pg_read_all_data', 'pg_write_all_data', 'pg_read_server_files', 'pg_write_server_files', 'pg_execute_server_program'))",
};

const HEIRS: Check = Check {
    severity: Severity::Alarm,
    why: "a view or function of the owner would show everybody what the other role may see",
    with: "",
    sql: "
        select 'role ' || '{owner}'::regrole, format('inherits from %s', r.oid::regrole),
               case when current_setting('server_version_num')::int >= 160000
                    then format('grant %s to %s with inherit false, set true;', r.oid::regrole, '{owner}'::regrole)
                    else format('alter role %s noinherit;', '{owner}'::regrole) end
          from pg_roles r
         where r.oid in ('{system}'::regrole, '{across}'::regrole, '{definer}'::regrole)
           and not (select rolsuper from pg_roles where oid = '{owner}'::regrole)
           and pg_has_role('{owner}'::regrole, r.oid, 'USAGE')",
};

const OWNERS: Check = Check {
    severity: Severity::Alarm,
    why: "the owner of a table can turn its row-level security off",
    with: "",
    sql: "
        select c.oid::regclass::text, format('belongs to %s', c.relowner::regrole), format('alter table %s owner to %s;', c.oid::regclass, '{owner}'::regrole)
          from pg_class c
         where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S') and c.relpersistence <> 't'
           and c.relowner in ('{app}'::regrole, '{system}'::regrole, '{across}'::regrole)",
};

const MAKERS: Check = Check {
    severity: Severity::Warning,
    why: "what a request's role makes belongs to it, and lies where others may take it for theirs",
    with: "",
    sql: "
        select 'schema ' || n.oid::regnamespace, format('lets %s make things in it', r.oid::regrole),
               format('revoke create on schema %s from %s, public;', n.oid::regnamespace, r.oid::regrole)
          from pg_namespace n, pg_roles r
         where r.oid in ('{app}'::regrole, '{system}'::regrole, '{across}'::regrole) and not r.rolsuper
           and n.nspname !~ '^pg_' and has_schema_privilege(r.oid, n.oid, 'CREATE')",
};

/// The roles that are not there.
pub(super) async fn missing(direct: &Direct, names: &Roles) -> Result<Vec<Finding>, Error> {
    const MISSING: &str = "
        select name from unnest($1::text[]) as name where not exists (select 1 from pg_catalog.pg_roles where rolname = name)";
    let Roles { owner, app, system, across, definer } = names;
    let names = vec![owner, app, system, across, definer];
    let missing = direct.client.query_typed(MISSING, &[(&names, Type::TEXT_ARRAY)]).await;
    let missing = missing.map_err(|error| Error::statement("doctor", &error))?;
    Ok(missing
        .iter()
        .map(|row| Finding {
            severity: Severity::Alarm,
            object: format!("role {}", row.get::<_, String>(0)),
            wrong: "is not there; nothing else was looked at".to_owned(),
            why: "the doors take on these roles, and the policies are written for them",
            mend: "run the program's migrations: shared_db::bootstrap makes the roles".to_owned(),
        })
        .collect())
}

/// In production, the logins of the requests and the relay that are more than their roles.
pub(super) async fn mighty_logins(
    direct: &Direct,
    config: &Config,
    names: &Roles,
) -> Result<Vec<Finding>, Error> {
    const MIGHTY: &str = "
        select quote_ident(rolname) from pg_catalog.pg_roles
         where rolname = any ($1) and (rolsuper or rolbypassrls or pg_has_role(oid, $2, 'MEMBER')) order by 1";
    if config.profile != Profile::Production {
        return Ok(Vec::new());
    }
    let mut logins = Vec::new();
    for url in [&config.url, config.system_url()] {
        logins.extend(Address::new(config, url)?.settings.get_user().map(str::to_owned));
    }
    let mighty =
        direct.client.query_typed(MIGHTY, &[(&logins, Type::TEXT_ARRAY), (&names.owner, Type::NAME)]).await;
    let mighty = mighty.map_err(|error| Error::statement("doctor", &error))?;
    Ok(mighty
        .iter()
        .map(|row| Finding {
            severity: Severity::Warning,
            object: format!("login {}", row.get::<_, String>(0)),
            wrong: "may do more than the roles that it takes on".to_owned(),
            why: "a statement that resets its role would be free of all policies",
            mend: "give DATABASE_URL and DATABASE_SYSTEM_URL logins that are members of their roles alone"
                .to_owned(),
        })
        .collect())
}
