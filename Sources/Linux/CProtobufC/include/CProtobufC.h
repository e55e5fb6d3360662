/// libprotobuf-c and the messages that `make protos` generates from Sources/Contracts/TaskAPI/protos. The generated files are never edited.
#ifndef BERTH_CPROTOBUFC_H
#define BERTH_CPROTOBUFC_H

#include <protobuf-c/protobuf-c.h>

#include "bootstrap.pb-c.h"
#include "cgroups_v1.pb-c.h"
#include "cgroups_v2.pb-c.h"
#include "events.pb-c.h"
#include "events_service.pb-c.h"
#include "any.pb-c.h"
#include "timestamp.pb-c.h"
#include "linux_runc_options.pb-c.h"
#include "runc_options.pb-c.h"
#include "task.pb-c.h"
#include "task_types.pb-c.h"
#include "ttrpc.pb-c.h"
#include "types.pb-c.h"

#endif
