-- The statements of docs/multicorn.md, with variables of psql in the place of region and key.
\getenv key CIO_APP_API_KEY
CREATE EXTENSION multicorn;
CREATE SERVER customerio FOREIGN DATA WRAPPER multicorn
    OPTIONS (wrapper 'cio_fdw.multicorn.CustomerIO', :"place" :'where');
CREATE USER MAPPING FOR CURRENT_USER SERVER customerio OPTIONS (app_api_key :'key');
CREATE SCHEMA customerio;
IMPORT FOREIGN SCHEMA customerio FROM SERVER customerio INTO customerio;
