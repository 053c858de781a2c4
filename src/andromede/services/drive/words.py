"""What the drive's pages and notices say, in English and in French. Braces are filled in."""


def _both(en: str, fr: str) -> dict[str, str]:
    return {"en": en, "fr": fr}


WORDS: dict[str, dict[str, str]] = {
    "sign in": _both("Sign in", "Se connecter"),
    "sign out": _both("Sign out", "Se déconnecter"),
    "user": _both("User name", "Nom d’utilisateur"),
    "password": _both("Password", "Mot de passe"),
    "passcode": _both("One-time code, if your account asks for one", "Code à usage unique, si votre compte en demande un"),
    "wrong": _both("The name or the password is not right.", "Le nom ou le mot de passe est incorrect."),
    "wait": _both("Too many wrong tries. Wait a minute, and try again.", "Trop d’essais erronés. Patientez une minute, puis réessayez."),
    "let in": _both("Let a program use your files", "Autoriser un programme à utiliser vos fichiers"),
    "who asks": _both(
        "The program <strong>{device}</strong> asks to see and change your files. Go on only if you have just started it yourself.",
        "Le programme <strong>{device}</strong> demande à voir et à modifier vos fichiers. "
        "Ne continuez que si vous venez de le lancer vous-même.",
    ),
    "let it": _both("Sign in and allow it", "Se connecter et l’autoriser"),
    "let it as": _both("Allow it for {account}", "L’autoriser pour {account}"),
    "let": _both("The program is connected", "Le programme est connecté"),
    "close": _both(
        "<strong>{device}</strong> can use the files of {account} now. You can close this page.",
        "<strong>{device}</strong> peut maintenant utiliser les fichiers de {account}. Vous pouvez fermer cette page.",
    ),
    "late": _both("This sign-in has ended", "Cette connexion a expiré"),
    "again": _both("Start it again in the program.", "Recommencez depuis le programme."),
    "devices": _both("Your devices", "Vos appareils"),
    "welcome": _both(
        "You are {account}. In a client of Nextcloud, enter this address: <code>{url}</code>; for WebDAV: <code>{dav}</code>",
        "Vous êtes {account}. Dans un client Nextcloud, entrez cette adresse : <code>{url}</code> ; pour WebDAV : <code>{dav}</code>",
    ),
    "explain": _both(
        "Each device has an app password of its own. Taking it away does not touch the others.",
        "Chaque appareil a son propre mot de passe d’application. Le retirer ne touche pas les autres.",
    ),
    "none": _both("There is no device yet.", "Il n’y a encore aucun appareil."),
    "device": _both("Device", "Appareil"),
    "created": _both("Since", "Depuis"),
    "used": _both("Last used", "Dernière utilisation"),
    "never": _both("never", "jamais"),
    "may": _both("May", "Droits"),
    "may read": _both("read", "lire"),
    "may write": _both("read and change", "lire et modifier"),
    "take away": _both("Take away", "Retirer"),
    "new device": _both("A new app password", "Un nouveau mot de passe d’application"),
    "device name": _both("Name of the device or program", "Nom de l’appareil ou du programme"),
    "days": _both("Days until it ends; empty for never", "Nombre de jours de validité ; vide pour toujours"),
    "make": _both("Make it", "Le créer"),
    "made": _both("This is the app password of {device}", "Voici le mot de passe d’application de {device}"),
    "once": _both("It is shown this once: put it into the program now.", "Il n’est affiché qu’une fois : entrez-le maintenant dans le programme."),
    "back": _both("Back to your devices", "Retour à vos appareils"),
    "refused": _both("This does not go", "C’est impossible"),
    "wrong password": _both("The password is not right.", "Le mot de passe est incorrect."),
    "locked": _both("This link has a password", "Ce lien est protégé par un mot de passe"),
    "open": _both("Open", "Ouvrir"),
    "shared": _both("{name}, shared by {by}", "{name}, partagé par {by}"),
    "download": _both("Download {name} ({size})", "Télécharger {name} ({size})"),
    "up": _both("To the folder above", "Vers le dossier parent"),
    "empty": _both("This folder is empty.", "Ce dossier est vide."),
    "drop": _both(
        "Files can be put here, and not seen. With WebDAV: <code>{url}</code>",
        "On peut déposer des fichiers ici, sans les voir. Par WebDAV : <code>{url}</code>",
    ),
    "not found": _both("There is nothing here", "Il n’y a rien ici"),
}
