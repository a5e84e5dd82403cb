"""What can go wrong, with vpopmail's numbers and words.

A program answers `Error: TEXT` on its standard output and exits with the negative number, modulo 256.
"""
from ..base.errors import Permanent

#   number  name                text
CODES = (
    (-1, "ILLEGAL_USERNAME", "Illegal username"),
    (-2, "USERNAME_EXISTS", "Username exists"),
    (-3, "BAD_DIR", "Unable to chdir to vpopmail directory"),
    (-4, "BAD_U_DIR", "Unable to chdir to vpopmail/users directory"),
    (-5, "BAD_D_DIR", "Unable to chdir to vpopmail/domains directory"),
    (-6, "BAD_V_DIR", "Unable to chdir to vpopmail/domains/domain directory"),
    (-7, "EXIST_U_DIR", "User's directory already exists"),
    (-8, "BAD_U_DIR2", "Unable to chdir to user's directory"),
    (-9, "MD_FAILED", "Creation of user's subdirectories failed"),
    (-10, "USER_DOES_NOT_EXIST", "User does not exist"),
    (-11, "DOMAIN_DOES_NOT_EXIST", "Domain does not exist"),
    (-12, "INVALID_DOMAIN_NAME", "Invalid domain name"),
    (-13, "DOMAIN_ALREADY_EXISTS", "Domain already exists"),
    (-14, "COULD_NOT_MAKE_DOMAIN_DIR", "Could not make domain dir"),
    (-15, "COULD_NOT_OPEN_QMAIL_DEFAULT", "Could not open qmail default"),
    (-16, "CAN_NOT_MAKE_DOMAINS_DIR", "Can not make domains directory"),
    (-17, "COULD_NOT_UPDATE_FILE", "Could not update file"),
    (-18, "CRYPT_FAILED", "Crypt failed"),
    (-19, "COULD_NOT_OPEN_DOT_QMAIL", "Could not open dot qmail file"),
    (-20, "BAD_CHARACTER", "bad character"),
    (-22, "BAD_UID", "running as invalid uid"),
    (-23, "NO_AUTH_CONNECTION", "no authentication database connection"),
    (-25, "USER_NAME_TOO_LONG", "user name too long"),
    (-26, "DOMAIN_NAME_TOO_LONG", "domain name too long"),
    (-27, "PASSWD_TOO_LONG", "password too long"),
    (-28, "GECOS_TOO_LONG", "gecos too long"),
    (-29, "QUOTA_TOO_LONG", "quota too long"),
    (-30, "DIR_TOO_LONG", "dir too long"),
    (-31, "CLEAR_PASSWD_TOO_LONG", "clear password too long"),
    (-32, "ALIAS_LINE_TOO_LONG", "alias line too long"),
    (-33, "NULL_POINTER", "null pointer"),
    (-36, "CANT_READ_LIMITS", "can't read domain limits"),
    (-37, "CANT_READ_ASSIGN", "can't read users/assign file"),
    (-55, "CANT_DELETE_CATCHALL", "can't delete catchall account"),
)
NUMBERS = {name: number for number, name, _ in CODES}
TEXTS = {name: text for _, name, text in CODES}


class Refused(Permanent):
    """vpopmail's answer NAME of CODES. `status`: the exit code; str(): the text."""

    def __init__(self, name):
        super().__init__(TEXTS[name])
        self.name, self.status = name, NUMBERS[name] % 256
