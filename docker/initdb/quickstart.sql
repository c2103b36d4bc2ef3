-- The statements of docs/quickstart.md, with variables of psql in the place of region and key.
\getenv key CIO_APP_API_KEY
CREATE EXTENSION cio_fdw;
CREATE SERVER customerio FOREIGN DATA WRAPPER cio_fdw OPTIONS (:"place" :'where');
CREATE USER MAPPING FOR CURRENT_USER SERVER customerio OPTIONS (app_api_key :'key');
CREATE SCHEMA customerio;
IMPORT FOREIGN SCHEMA customerio FROM SERVER customerio INTO customerio;
