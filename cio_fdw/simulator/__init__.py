"""A truthful stand-in of the Customer.io App API, served over real HTTP.

    cio-fdw simulate --messages 20000 --rate 10
    ready: http://127.0.0.1:8765

    command    the options and the `simulate` command      server     uvicorn, the ready line, live messages
    wire       connections (resets, who went away)         gate       log, rate limit, latency, faults
    api        routes derived from the catalog             admin      /_sim/: log, faults, data
    behaviour  what the catalog cannot say of an endpoint  world      tables and their rows
    store      rows as JSON bytes, indexes, pages          data/      the made-up workspace
    client     the simulator as a context manager for tests

It imports the catalog and nothing else of the pipeline, so that a mistake there is not repeated here.
"""
