#!/bin/sh
# Write the secrets of an installation into secrets/, random where they may be: for compose, and for Kubernetes to make its
# Secrets from. What is there already stays, so it can be run again; only the owner may read the files. Keep them with
# your backups: platform.env opens the kept keys, home/ tells keys apart and signs download links.
set -eu
umask 077
cd "$(dirname "$0")"
mkdir -p secrets

random() { head -c 32 /dev/urandom | base64 | tr -d '\n'; }
word() { head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n'; }
write() {
  if [ -e "secrets/$1" ]; then echo "secrets/$1 is there and stays"; cat > /dev/null; return; fi
  cat > "secrets/.$1.new"
  mv "secrets/.$1.new" "secrets/$1"
  echo "secrets/$1 written"
}

both_there() { # what names one password twice is written together, or not at all
  if [ -e "secrets/$1" ] && [ -e "secrets/$2" ]; then echo "secrets/$1 and secrets/$2 are there and stay"; return 0; fi
  if [ ! -e "secrets/$1" ] && [ ! -e "secrets/$2" ]; then return 1; fi
  echo "Only one of secrets/$1 and secrets/$2 is there: restore the other, or remove this one and run again." >&2
  exit 1
}

write database.env <<END
POSTGRES_PASSWORD=$(word)
END

password=$(word)
if ! both_there redis.env redis-server.env; then
  write redis.env <<END
REDIS_URL=redis://:$password@redis:6379/0
END
  write redis-server.env <<END
REDIS_PASSWORD=$password
END
fi

write platform.env <<END
API_KEY_ENCRYPTION_KEY=$(random)
END

write access.env <<END
JWT_SECRET=$(random)
END

# For processes that open no kept key: production starts nothing without one, so they get one that opens nothing.
write keyless.env <<END
API_KEY_ENCRYPTION_KEY=$(random)
END

for name in fingerprint.key signing.key; do
  if [ -e "secrets/home/$name" ]; then echo "secrets/home/$name is there and stays"; continue; fi
  mkdir -p secrets/home
  head -c 32 /dev/urandom > "secrets/.$name.new"
  mv "secrets/.$name.new" "secrets/home/$name"
  echo "secrets/home/$name written"
done

name=$(word | cut -c1-20) password=$(word)
if ! both_there storage.env storage-server.env; then
  write storage.env <<END
STORAGE_ACCESS_KEY_ID=$name
STORAGE_SECRET_ACCESS_KEY=$password
END
  write storage-server.env <<END
MINIO_ROOT_USER=$name
MINIO_ROOT_PASSWORD=$password
END
fi

write models.env <<END
GOOGLE_API_KEY=
OPENROUTER_API_KEY=
END

write payments.env <<END
STRIPE_SECRET_KEY=
STRIPE_WEBHOOK_SECRET=
TELEGRAM_BOT_TOKEN=
END

echo "Now put your provider keys into secrets/models.env; the bot's token and payments, if you take any, into secrets/payments.env."
