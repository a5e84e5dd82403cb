"""What vpopmaild answers to "help", for each kind of user."""

SYSTEM, DOMAIN, USER = "system", "domain", "user"     # who may use a command: those, and those before them
LOGIN = (
    "",
    "Login",
    "login login user@domain password - expanded bitmaps",
    "clogin login user@domain password - compact bitmapts",
    "slogin login user@domain password - silent results",
    "",
    "Utility",
    "help help",
    "exit quit",
    "quit quit",
    "q quit",
)
SECTIONS = (
    ("Domain", (
        (DOMAIN, "user_info user_domain<crlf>"),
        (SYSTEM, "list_domains [page per_page]<crlf>"),
        (SYSTEM, "find_domain domain [per-page]<crlf>"),
        (SYSTEM, "domain_count <crlf>"),
        (SYSTEM, "add_alias_domain domain alias<crlf>"),
        (SYSTEM, "add_domain domain postmaster-password<crlf>"),
        (SYSTEM, "del_domain domain<crlf>"),
        (SYSTEM, "dom_info domain<crlf>"),
        (DOMAIN, "get_limits domain<crlf>"),
        (SYSTEM, "set_limits domain (option lines)<crlf>.<crlf>"),
        (SYSTEM, "del_limits domain<crlf>"),
        (DOMAIN, "get_domain_size domain<crlf>"),
    )),
    ("User", (
        (DOMAIN, "add_user user@domain password<crlf>"),
        (DOMAIN, "del_user user@domain<crlf>"),
        (DOMAIN, "user_count domain <crlf>"),
        (DOMAIN, "list_users domain [page per_page]<crlf>"),
        (DOMAIN, "list_users domain<crlf>"),
        (DOMAIN, "list_lists domain<crlf>"),
        (USER, "mod_user user@domain (option lines)<crlf>.<crlf>"),
        (USER, "get_lastauth user@domain<crlf>"),
        (USER, "get_user_size user@domain<crlf>"),
    )),
    ("Alias", (
        (DOMAIN, "add_alias user@domain user@otherdomain<crlf>"),
        (DOMAIN, "delete_alias user@domain<crlf>"),
        (DOMAIN, "list_alias domain<crlf>"),
        (DOMAIN, "remove_alias user@domain user@otherdomain<crlf>"),
    )),
    ("File System", (
        (USER, "mk_dir /full/path/to/dir<crlf>"),
        (USER, "rm_dir /full/path/to/dir<crlf>"),
        (USER, "list_dir /full/path/to/dir<crlf>"),
        (USER, "rm_file /full/path/to/file<crlf>"),
        (USER, "rename_file /full/path/to/file<crlf>"),
        (USER, "write_file /full/path (data lines)<crlf>.<crlf>"),
        (USER, "read_file /full/path<crlf>"),
        (USER, "stat_file /full/path<crlf>"),
    )),
    ("IP Map", (
        (USER, "get_ip_map domain<crlf>"),
        (SYSTEM, "add_ip_map ip domain<crlf>"),
        (SYSTEM, "del_ip_map ip domain<crlf>"),
        (SYSTEM, "show_ip_map domain<crlf>"),
    )),
    ("Mailing List", (
        (DOMAIN, "add_list domain listname (command line options)<crlf>"),
        (DOMAIN, "del_list domain listname<crlf>"),
        (DOMAIN, "mod_list domain listname (command line options)<crlf>"),
    )),
    ("Utility", (
        (USER, "exit quit"),
        (USER, "quit quit"),
        (USER, "q quit"),
        (USER, "help help"),
    )),
)


def page(level):
    """The lines for a level: a heading before each group that has something in it."""
    levels = (SYSTEM, DOMAIN, USER)
    seen = levels[levels.index(level):]
    for heading, group in SECTIONS:
        found = [line for who, line in group if who in seen]
        if found:
            yield from ("", heading, *found)


HELP = {"login": [line.encode() for line in LOGIN]}
HELP |= {level: [line.encode() for line in page(level)] for level in (SYSTEM, DOMAIN, USER)}
